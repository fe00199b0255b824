/** Flags as people write them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { systemFlagNames } from "../../../src/core/flag-names.ts";
import { parseFlags } from "../../../src/services/flags.ts";
import { MAX_KEYWORDS } from "../../../src/wire/message-arguments.ts";

test("parseFlags() reads system flags in any case and keywords, sorted and once", () => {
  assert.deepEqual(parseFlags("\\seen, zebra,\\FLAGGED,$Junk,zebra"), {
    system: 5,
    keywords: ["$Junk", "zebra"],
  });
  assert.deepEqual(parseFlags(""), { system: 0, keywords: [] });
  assert.deepEqual(systemFlagNames(31), ["\\Seen", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft"]);
});

test("parseFlags() refuses unknown system flags and what IMAP has no atom for", () => {
  assert.throws(() => parseFlags("\\Recent"), /no system flag/u);
  for (const word of ["a b", "a(b", 'a"b', "日本", "a\u0001", "x".repeat(65), "🎉"]) {
    assert.throws(() => parseFlags(word), /cannot be a keyword/u, word);
  }
});

test("parseFlags() refuses more keywords than its limit", () => {
  const words = (n: number) => Array.from({ length: n }, (_, i) => `k${i}`).join(",");
  assert.equal(parseFlags(words(MAX_KEYWORDS)).keywords.length, MAX_KEYWORDS);
  assert.throws(() => parseFlags(words(MAX_KEYWORDS + 1)), /more than 32/u);
});
