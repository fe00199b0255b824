/** Flags as people write them: `\Seen,\Flagged,invoice`. Pure. */
import { MairustError } from "../core/errors.ts";
import {
  FLAG_ANSWERED,
  FLAG_DELETED,
  FLAG_DRAFT,
  FLAG_FLAGGED,
  FLAG_SEEN,
  type FlagSet,
} from "../core/ports/store.ts";

/** In the order of RFC 3501 §2.3.2. */
const SYSTEM_FLAGS = [
  [FLAG_SEEN, "\\Seen"],
  [FLAG_ANSWERED, "\\Answered"],
  [FLAG_FLAGGED, "\\Flagged"],
  [FLAG_DELETED, "\\Deleted"],
  [FLAG_DRAFT, "\\Draft"],
] as const;

/** Most keywords of one message that may be given at once. */
export const MAX_KEYWORDS = 32;
/** RFC 3501 §9 `atom`, less what no keyword needs: printable ASCII without specials, at most 64. */
const KEYWORD = /^[^\s(){%*"\\\]\u0000-\u001f\u007f-\u{10ffff}]{1,64}$/u;

/** Names of the system flags in `bits`. */
export function systemFlagNames(bits: number): string[] {
  return SYSTEM_FLAGS.filter(([bit]) => (bits & bit) !== 0).map(([, name]) => name);
}

/**
 * @param text  flags separated by commas; a system flag begins with `\` in any case; "" has none
 * @throws {MairustError} `invalid_argument`
 */
export function parseFlags(text: string): FlagSet {
  const refuse = (reason: string) =>
    new MairustError("invalid_argument", `Cannot read flags "${text}": ${reason}`, { publicText: reason });
  let system = 0;
  const keywords = new Set<string>();
  for (const word of text.split(",").map(part => part.trim())) {
    if (word === "") continue;
    if (word.startsWith("\\")) {
      const known = SYSTEM_FLAGS.find(([, name]) => name.toLowerCase() === word.toLowerCase());
      if (known === undefined) throw refuse(`no system flag "${word}" (there are ${names()})`);
      system |= known[0];
    } else if (KEYWORD.test(word)) keywords.add(word);
    else
      throw refuse(
        `"${word}" cannot be a keyword: 1 to 64 printable ASCII characters without ( ) { % * " \\ ]`,
      );
  }
  if (keywords.size > MAX_KEYWORDS) throw refuse(`more than ${MAX_KEYWORDS} keywords`);
  return { system, keywords: [...keywords].sort() };
}

function names(): string {
  return SYSTEM_FLAGS.map(([, name]) => name).join(" ");
}
