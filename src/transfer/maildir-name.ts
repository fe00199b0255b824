/**
 * Names of Maildir files: `<unique>[,S=<octets>][,W=<octets>][:2,<letters>]`. Pure.
 * Sources: Maildir as of cr.yp.to/proto/maildir.html; Maildir++ and `dovecot-keywords` as of doc.dovecot.org "Maildir".
 */
import { isKeyword, SYSTEM_FLAG_NAMES, type SystemFlagName } from "../wire/message-arguments.ts";

const BY_LETTER = {
  D: "\\Draft",
  F: "\\Flagged",
  R: "\\Answered",
  S: "\\Seen",
  T: "\\Deleted",
} as const satisfies Record<string, SystemFlagName>;

/** `P` is "passed": resent, forwarded or bounced. Dovecot has no use for it; as a keyword it is RFC 9051 §2.3.2. */
const PASSED = "$Forwarded";

/** Letters a to z in `:2,` stand for lines of `dovecot-keywords`. */
export const MAX_LETTER_KEYWORDS = 26;

export interface NameParts {
  /** What names the message for good: flags, and the sizes that Dovecot may add or mend, are not part of it. */
  readonly key: string;
  readonly letters: string;
}

export function readName(name: string): NameParts {
  const colon = name.indexOf(":");
  const base = colon < 0 ? name : name.slice(0, colon);
  const info = colon < 0 ? "" : name.slice(colon + 1);
  return {
    key: base.replace(/,[SW]=\d+/gu, ""),
    letters: info.startsWith("2,") ? (info.slice(2).split(",")[0] ?? "") : "",
  };
}

export interface NamedFlags {
  readonly flags: readonly SystemFlagName[];
  readonly keywords: readonly string[];
  /** Letters without a name, and names that no keyword can have. */
  readonly dropped: number;
}

/** @param names  `dovecot-keywords`: index 0 is letter a */
export function readLetters(letters: string, names: readonly (string | undefined)[]): NamedFlags {
  const flags = new Set<SystemFlagName>();
  const keywords = new Set<string>();
  let dropped = 0;
  for (const letter of letters) {
    if (Object.hasOwn(BY_LETTER, letter)) flags.add(BY_LETTER[letter as keyof typeof BY_LETTER]);
    else if (letter === "P") keywords.add(PASSED);
    else if (letter >= "a" && letter <= "z") {
      const name = names[letter.charCodeAt(0) - 97];
      if (name !== undefined && isKeyword(name)) keywords.add(name);
      else dropped += 1;
    }
  }
  return {
    flags: SYSTEM_FLAG_NAMES.filter(name => flags.has(name)),
    keywords: [...keywords].sort(),
    dropped,
  };
}

/** Letters in ASCII order, as the format wants them. @param letterOf  of a keyword; undefined: it has none */
export function writeLetters(
  flags: readonly string[],
  keywords: readonly string[],
  letterOf: (keyword: string) => string | undefined,
): string {
  const system = Object.entries(BY_LETTER).flatMap(([letter, name]) =>
    flags.includes(name) ? [letter] : [],
  );
  const words = keywords.flatMap(keyword => letterOf(keyword) ?? []);
  return [...system, ...words].sort().join("");
}

/** As Dovecot sorts messages that have no UID yet: by the seconds that the name begins with, then by name. */
export function compareByTime(one: string, other: string): number {
  const seconds = (name: string) => Number(/^\d{1,15}/u.exec(name)?.[0] ?? 0);
  return seconds(one) - seconds(other) || (one < other ? -1 : one > other ? 1 : 0);
}
