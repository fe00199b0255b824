/** Flags as people write them (`\Seen,\Flagged,invoice`) to and from the form in which they are stored. Pure. */
import { MairustError } from "../core/errors.ts";
import { FLAG_BITS } from "../core/flag-names.ts";
import type { FlagSet } from "../core/ports/store.ts";
import { isKeyword, readFlagNames, SYSTEM_FLAG_NAMES } from "../wire/message-arguments.ts";

/** @param text  as `readFlagNames` takes it. @throws {MairustError} `invalid_argument` */
export function parseFlags(text: string): FlagSet {
  const names = readFlagNames(text);
  if (typeof names === "string") {
    throw new MairustError("invalid_argument", `Cannot read flags "${text}": ${names}`, {
      publicText: names,
    });
  }
  return { system: names.system.reduce((bits, name) => bits | FLAG_BITS[name], 0), keywords: names.keywords };
}

/** @param system  names as `systemFlagNames` gives them. @throws {MairustError} `invalid_argument` */
export function flagSetOf(system: readonly string[], keywords: readonly string[]): FlagSet {
  const bits = system.reduce((sum, name) => {
    const known = SYSTEM_FLAG_NAMES.find(one => one === name);
    if (known === undefined) throw refused(`there is no system flag "${name}"`);
    return sum | FLAG_BITS[known];
  }, 0);
  const bad = keywords.find(word => !isKeyword(word));
  if (bad !== undefined) throw refused(`"${bad}" cannot be a keyword`);
  return { system: bits, keywords: [...new Set(keywords)].sort() };
}

function refused(text: string): MairustError {
  return new MairustError("invalid_argument", `Cannot read flags: ${text}`, { publicText: text });
}
