/** The search grammar: what each key means, and what is refused with which text. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { MAX_SEARCH_TERMS, parseSearch } from "../../../src/core/search-grammar.ts";

function refused(text: string, code: string, says: RegExp): void {
  assert.throws(
    () => parseSearch(text),
    (error: unknown) => error instanceof MairustError && error.code === code && says.test(error.publicText),
  );
}

test("parseSearch() reads words, phrases, keys and negations", () => {
  const query = parseSearch('hello "two words" -spam from:taro subject:"a \\"b\\"" -tag:seen folder:Junk');
  assert.deepEqual(query.words, { some: ["hello", "two words"], none: ["spam"] });
  assert.deepEqual(query.from, { some: ["taro"], none: [] });
  assert.deepEqual(query.subject, { some: ['a "b"'], none: [] });
  assert.deepEqual(query.tag, { some: [], none: ["seen"] });
  assert.deepEqual(query.folder, { some: ["Junk"], none: [] });
});

test("parseSearch() of an empty text has no condition", () => {
  const query = parseSearch("   ");
  assert.deepEqual(query.words, { some: [], none: [] });
  assert.equal(query.receivedFrom, undefined);
});

test("parseSearch() keeps a value's own colons, angle brackets and equals signs", () => {
  const query = parseSearch("msgid:<a=b:c@x.test> tag:mairust:unchecked 例え");
  assert.deepEqual(query.messageIdHeader.some, ["<a=b:c@x.test>"]);
  assert.deepEqual(query.tag.some, ["mairust:unchecked"]);
  assert.deepEqual(query.words.some, ["例え"]);
});

test("parseSearch() makes half-open ranges, and a negated end is the other end", () => {
  const query = parseSearch("after:2026-01-02 -after:2026-02-01");
  assert.equal(query.receivedFrom?.toISOString(), "2026-01-02T00:00:00.000Z");
  assert.equal(query.receivedBefore?.toISOString(), "2026-02-01T00:00:00.000Z");
  const negated = parseSearch("-before:2026-01-02T09:00:00+09:00");
  assert.equal(negated.receivedFrom?.toISOString(), "2026-01-02T00:00:00.000Z");
});

test("parseSearch() counts sizes exclusively, and inclusively when negated", () => {
  const query = parseSearch("larger:1k smaller:2M");
  assert.equal(query.minSizeBytes, 1025);
  assert.equal(query.maxSizeBytes, 2 * 1024 * 1024 - 1);
  assert.equal(parseSearch("-larger:100").maxSizeBytes, 100);
  assert.equal(parseSearch("-smaller:100").minSizeBytes, 100);
});

test("parseSearch() takes the narrower of two ranges", () => {
  const query = parseSearch("larger:5 larger:9 before:2026-03-01 before:2026-02-01");
  assert.equal(query.minSizeBytes, 10);
  assert.equal(query.receivedBefore?.toISOString(), "2026-02-01T00:00:00.000Z");
});

test("parseSearch() reads is:unread and has:attachment, negated too", () => {
  assert.equal(parseSearch("is:unread").unread, true);
  assert.equal(parseSearch("-is:unread").unread, false);
  assert.equal(parseSearch("has:attachment").hasAttachment, true);
});

test("parseSearch() refuses keys that are not built, by name", () => {
  refused("to:taro@x.test", "not_built", /"to:" is not built/u);
  refused("meta:a.b>3", "not_built", /"meta:"/u);
});

test("parseSearch() refuses an unknown key and says how to search the text", () => {
  refused("re:hello", "invalid_argument", /no key "re:".*quotes/u);
  assert.deepEqual(parseSearch('"re:hello"').words.some, ["re:hello"]);
});

test("parseSearch() refuses an open quote, an empty value and bad dates and sizes", () => {
  refused('hello "open', "invalid_argument", /character 6/u);
  refused("from:", "invalid_argument", /value/u);
  refused('""', "invalid_argument", /empty/u);
  refused("before:2026-02-30", "invalid_argument", /takes a day/u);
  refused("before:yesterday", "invalid_argument", /takes a day/u);
  refused("larger:huge", "invalid_argument", /takes a size/u);
  refused("is:read", "invalid_argument", /unread/u);
});

test("parseSearch() refuses more terms than its limit", () => {
  assert.equal(parseSearch("a ".repeat(MAX_SEARCH_TERMS)).words.some.length, MAX_SEARCH_TERMS);
  refused("a ".repeat(MAX_SEARCH_TERMS + 1), "invalid_argument", /more than 32/u);
});
