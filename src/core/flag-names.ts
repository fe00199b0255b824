/** The names of system flags and the bits by which they are stored. Pure. */
import { SYSTEM_FLAG_NAMES, type SystemFlagName } from "../wire/message-arguments.ts";
import { FLAG_ANSWERED, FLAG_DELETED, FLAG_DRAFT, FLAG_FLAGGED, FLAG_SEEN } from "./ports/store.ts";

export const FLAG_BITS = {
  "\\Seen": FLAG_SEEN,
  "\\Answered": FLAG_ANSWERED,
  "\\Flagged": FLAG_FLAGGED,
  "\\Deleted": FLAG_DELETED,
  "\\Draft": FLAG_DRAFT,
} as const satisfies Record<SystemFlagName, number>;

/** Names of the system flags in `bits`, in the order of RFC 3501 §2.3.2. */
export function systemFlagNames(bits: number): SystemFlagName[] {
  return SYSTEM_FLAG_NAMES.filter(name => (bits & FLAG_BITS[name]) !== 0);
}
