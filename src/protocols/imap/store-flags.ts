/** Which flags a STORE may name: what of them a message can have, and why not. Pure. Source: RFC 3501 §2.3.2, §6.4.6; RFC 5530. */
import { spelledAsKnown } from "../../core/flag-change.ts";
import { FLAG_BITS } from "../../core/flag-names.ts";
import { FLAG_DELETED, type FlagSet } from "../../core/ports/store.ts";
import { MAX_KEYWORD_CHARS, SYSTEM_FLAG_NAMES } from "../../wire/message-arguments.ts";
import { bad, type Completion, no } from "./reply.ts";

const BITS: ReadonlyMap<string, number> = new Map(
  SYSTEM_FLAG_NAMES.map(name => [name.toLowerCase(), FLAG_BITS[name]]),
);

/**
 * @param names  as written
 * @param known  keywords of the mailbox: what is there is spelled as it is there
 * @param most  different keywords
 * @returns the answer instead, where one of them is not for clients: nothing is changed then
 */
export function storedFlags(
  names: readonly string[],
  known: readonly string[],
  most: number,
): FlagSet | Completion {
  const words = names.filter(name => !name.startsWith("\\"));
  const bits = names.filter(name => name.startsWith("\\")).map(name => BITS.get(name.toLowerCase()));
  // \Recent among them (RFC 3501 §9: no flag of STORE).
  if (bits.includes(undefined)) return bad("Unknown system flag");
  const system = bits.reduce<number>((sum, bit) => sum | (bit ?? 0), 0);
  if ((system & FLAG_DELETED) !== 0)
    return no("\\Deleted cannot be changed here: messages are not deleted over IMAP", "NOPERM");
  if (words.some(word => word.length > MAX_KEYWORD_CHARS))
    return no(`A keyword has at most ${MAX_KEYWORD_CHARS} characters`, "LIMIT");
  const keywords = spelledAsKnown(words, known);
  if (keywords.length > most) return no(`At most ${most} keywords in one command`, "LIMIT");
  return { system, keywords };
}
