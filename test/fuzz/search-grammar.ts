/** Fuzz target: the search text of API and command line. */
import { MairustError } from "../../src/core/errors.ts";
import { MAX_SEARCH_TERMS, parseSearch } from "../../src/core/search-grammar.ts";
import type { Random } from "./lib/random.ts";
import { check, octets } from "./lib/target.ts";

export const name = "search-grammar";
export const words = [
  "from:",
  "subject:",
  "before:",
  "after:",
  "larger:",
  "is:unread",
  "has:attachment",
  '"',
  '\\"',
  "-",
  "2026-02-30",
  "2026-11-21T08:00:00Z",
  "10k",
  "to:",
  "\xe3\x81\x82",
];
export const seeds = [
  'invoice from:ann -subject:"a \\"b\\"" before:2026-01-01 after:2025-01-01T00:00:00+09:00',
  "larger:10k smaller:5M is:unread -has:attachment",
  "msgid:<a@b> queueid:4X account:a@b domain:b tag:x folder:INBOX",
].map(octets);

const KEYS = [
  "from",
  "subject",
  "msgid",
  "queueid",
  "tag",
  "folder",
  "account",
  "domain",
  "before",
  "after",
  "larger",
  "smaller",
  "is",
  "has",
  "to",
  "x",
];
const VALUES = [
  "a",
  '"a b"',
  '"',
  "2026-02-29",
  "2026-01-01T10:00Z",
  "9999999999999g",
  "10k",
  "unread",
  "attachment",
  "",
  "\\",
  "a:b",
];

export function generate(random: Random): Uint8Array {
  return octets(
    random.many(
      random.small(12),
      () =>
        `${random.oneIn(4) ? "-" : ""}${random.oneIn(3) ? "" : `${random.pick(KEYS)}:`}${random.pick(VALUES)}`,
      random.pick([" ", "  ", "\t", ""]),
    ),
  );
}

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  // As it comes in: JSON text, so any Unicode; lone surrogates too.
  for (const text of [Buffer.from(input).toString("utf8"), Buffer.from(input).toString("utf16le")]) {
    try {
      const query = parseSearch(text);
      const terms = Object.values(query).flatMap(part =>
        part !== null && typeof part === "object" && "some" in part ? [...part.some, ...part.none] : [],
      );
      check(
        terms.length <= MAX_SEARCH_TERMS && terms.every(term => term !== ""),
        "a bounded number of terms, none empty",
      );
      for (const date of [query.receivedFrom, query.receivedBefore])
        check(date === undefined || !Number.isNaN(date.getTime()), "a date that is one");
      for (const size of [query.minSizeBytes, query.maxSizeBytes])
        check(size === undefined || Number.isSafeInteger(size), "a size that can be counted with");
    } catch (error) {
      if (!(error instanceof MairustError) || !["invalid_argument", "not_built"].includes(error.code))
        throw error;
      check(error.publicText !== "", "a refusal that says why");
    }
  }
}
