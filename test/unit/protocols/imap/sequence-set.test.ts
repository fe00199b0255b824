import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  countIndexes,
  indexesOfNumbers,
  indexesOfSaved,
  indexesOfUids,
  parseSequenceSet,
  rangesHave,
  resolveSet,
  uidsAt,
} from "../../../../src/protocols/imap/sequence-set.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";
import { snapshotOf } from "../../../lib/snapshots.ts";

test("parseSequenceSet() reads what RFC 3501 allows", () => {
  assert.deepEqual(parseSequenceSet("2,4:7,9,12:*").pairs, [2, 2, 4, 7, 9, 9, 12, 0]);
  assert.deepEqual(parseSequenceSet("*:4,5:7").pairs, [0, 4, 5, 7]);
  assert.deepEqual(parseSequenceSet("4294967295").pairs, [4_294_967_295, 4_294_967_295]);
});

test("parseSequenceSet() refuses everything else", () => {
  for (const text of [
    "",
    "0",
    "1,",
    ",1",
    "1:",
    ":1",
    "1:2:3",
    "a",
    "1 2",
    "-1",
    "4294967296",
    "**",
    "99999999999999999999",
  ]) {
    assert.throws(() => parseSequenceSet(text), ImapSyntaxError, text);
  }
});

test("resolveSet() puts * in, orders and merges", () => {
  assert.deepEqual(resolveSet(parseSequenceSet("5:3,*,4:9,1"), 12), [1, 1, 3, 9, 12, 12]);
  assert.deepEqual(resolveSet(parseSequenceSet("20:*"), 12), [12, 20]);
});

test("indexesOfNumbers() refuses numbers beyond the last message, and * names nothing in an empty mailbox", () => {
  assert.deepEqual(indexesOfNumbers(parseSequenceSet("2:*"), 3), [1, 3]);
  assert.throws(() => indexesOfNumbers(parseSequenceSet("4"), 3), ImapSyntaxError);
  assert.deepEqual(indexesOfNumbers(parseSequenceSet("1:*"), 0), []);
  assert.throws(() => indexesOfNumbers(parseSequenceSet("1"), 0), ImapSyntaxError);
});

const number = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.constant(0));
const setText = fc.array(fc.tuple(number, fc.option(number)), { minLength: 1, maxLength: 12 }).map(parts => {
  const one = (value: number) => (value === 0 ? "*" : String(value));
  return parts.map(([a, b]) => (b === null ? one(a) : `${one(a)}:${one(b)}`)).join(",");
});

test("sequence sets name the same UIDs as a plain model", () => {
  fc.assert(
    fc.property(setText, fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 40 }), (text, some) => {
      const uids = Uint32Array.from(some).sort();
      const view = snapshotOf(Array.from(uids, uid => ({ uid })));
      const max = uids[uids.length - 1] ?? 0;
      const named = new Set<number>();
      for (const part of text.split(",")) {
        const [a = 0, b = a] = part.split(":").map(word => (word === "*" ? max : Number(word)));
        for (let uid = Math.min(a, b); uid <= Math.max(a, b); uid += 1) named.add(uid);
      }
      const set = parseSequenceSet(text);
      const indexes = indexesOfUids(set, view);
      const expected = [...uids].filter(uid => named.has(uid));
      assert.deepEqual([...uidsAt(indexes, view)], expected);
      assert.equal(countIndexes(indexes), expected.length);
      const ranges = resolveSet(set, max);
      for (let uid = 1; uid <= 61; uid += 1) assert.equal(rangesHave(ranges, uid), named.has(uid));
    }),
  );
});

test("a line of numbers in any order is put in order without comparing pairs one by one", () => {
  // 200 003 is a prime: each number comes once, and its neighbours are far away.
  const count = 200_003;
  const numbers = Array.from({ length: count }, (_, i) => ((i * 7919) % count) + 4_294_767_292);
  const far = resolveSet(parseSequenceSet(`${numbers.join(",")},5:3,*`), 17);
  assert.deepEqual(far, [3, 5, 17, 17, 4_294_767_292, 4_294_967_294]);
});

test("UID sets over many chunks name what each UID alone does", () => {
  const view = snapshotOf(Array.from({ length: 12_000 }, (_, i) => ({ uid: 3 * i + 1 })));
  for (const step of [1, 2, 3, 7, 1000, 13_000]) {
    const wanted = Array.from({ length: 300 }, (_, i) => 1 + i * step).concat(35_998, 40_000);
    const expected = wanted.filter(uid => uid % 3 === 1 && uid <= 35_998).sort((a, b) => a - b);
    const indexes = indexesOfUids(parseSequenceSet(wanted.join(",")), view);
    assert.deepEqual([...uidsAt(indexes, view)], [...new Set(expected)], `every ${step}`);
    const saved = Uint32Array.from(new Set(wanted)).sort();
    assert.deepEqual(indexesOfSaved(saved, view), indexes, `saved, every ${step}`);
  }
});
