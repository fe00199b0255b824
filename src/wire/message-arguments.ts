/**
 * Time of arrival and flags as people write them in `msg add` and in the REST interface: one reading for the command line, which
 * refuses before it sends anything, and for the service. Pure. Nothing is thrown: a refusal is the reason as text.
 */

/** In the order of RFC 3501 §2.3.2. */
export const SYSTEM_FLAG_NAMES = ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"] as const;
export type SystemFlagName = (typeof SYSTEM_FLAG_NAMES)[number];

/** Most keywords of one message that may be given at once. */
export const MAX_KEYWORDS = 32;
export const MAX_KEYWORD_CHARS = 64;
/** RFC 3501 §9 `atom`, less what no keyword needs: printable ASCII without specials, at most {@link MAX_KEYWORD_CHARS}. */
const KEYWORD = /^[^\s(){%*"\\\]\u0000-\u001f\u007f-\u{10ffff}]{1,64}$/u;

/** Whether a message can carry the word as a keyword. */
export const isKeyword = (word: string): boolean => KEYWORD.test(word);

export interface FlagNames {
  readonly system: readonly SystemFlagName[];
  readonly keywords: readonly string[];
}

/** @param text  flags separated by commas; a system flag begins with `\` in any case; "" has none. @returns or what is wrong */
export function readFlagNames(text: string): FlagNames | string {
  const system = new Set<SystemFlagName>();
  const keywords = new Set<string>();
  for (const word of text.split(",").map(part => part.trim())) {
    if (word === "") continue;
    if (word.startsWith("\\")) {
      const known = SYSTEM_FLAG_NAMES.find(name => name.toLowerCase() === word.toLowerCase());
      if (known === undefined) return `no system flag "${word}" (there are ${SYSTEM_FLAG_NAMES.join(" ")})`;
      system.add(known);
    } else if (KEYWORD.test(word)) keywords.add(word);
    else return `"${word}" cannot be a keyword: 1 to 64 printable ASCII characters without ( ) { % * " \\ ]`;
  }
  if (keywords.size > MAX_KEYWORDS) return `more than ${MAX_KEYWORDS} keywords`;
  return { system: [...system], keywords: [...keywords].sort() };
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/u;

/** RFC 3339 §5.6. @returns or what is wrong */
export function readTime(text: string): Date | string {
  const match = RFC3339.exec(text);
  const date = new Date(text.replace(" ", "T").toUpperCase());
  // Date takes 30 February for 2 March.
  const lastDay = new Date(Date.UTC(Number(match?.[1]), Number(match?.[2]), 0)).getUTCDate();
  if (match !== null && !Number.isNaN(date.getTime()) && Number(match[3]) <= lastDay) return date;
  return `"${text}" is no RFC 3339 time such as 2026-11-21T08:00:00Z`;
}
