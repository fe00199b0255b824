/** Flags as people write them (`\Seen,\Flagged,invoice`) to and from the form in which they are stored. Pure. */
import { MairustError } from "../core/errors.ts";
import {
  FLAG_ANSWERED,
  FLAG_DELETED,
  FLAG_DRAFT,
  FLAG_FLAGGED,
  FLAG_SEEN,
  type FlagSet,
} from "../core/ports/store.ts";
import { readFlagNames, SYSTEM_FLAG_NAMES, type SystemFlagName } from "../wire/message-arguments.ts";

const BITS = {
  "\\Seen": FLAG_SEEN,
  "\\Answered": FLAG_ANSWERED,
  "\\Flagged": FLAG_FLAGGED,
  "\\Deleted": FLAG_DELETED,
  "\\Draft": FLAG_DRAFT,
} as const satisfies Record<SystemFlagName, number>;

/** Names of the system flags in `bits`. */
export function systemFlagNames(bits: number): string[] {
  return SYSTEM_FLAG_NAMES.filter(name => (bits & BITS[name]) !== 0);
}

/** @param text  as `readFlagNames` takes it. @throws {MairustError} `invalid_argument` */
export function parseFlags(text: string): FlagSet {
  const names = readFlagNames(text);
  if (typeof names === "string") {
    throw new MairustError("invalid_argument", `Cannot read flags "${text}": ${names}`, {
      publicText: names,
    });
  }
  return { system: names.system.reduce((bits, name) => bits | BITS[name], 0), keywords: names.keywords };
}
