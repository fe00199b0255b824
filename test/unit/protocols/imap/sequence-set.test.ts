import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { atOnce } from "../../../../src/core/steps.ts";
import {
  countIndexes,
  indexesOfNumbers,
  indexesOfSaved,
  indexesOfUids,
  parseSequenceSet,
  rangesHave,
  resolveSet,
  savedRanges,
  uidsAt,
} from "../../../../src/protocols/imap/sequence-set.ts";
import { ImapSyntaxError } from "../../../../src/protocols/imap/syntax-error.ts";
import { sequenceSet } from "../../../lib/sequence-sets.ts";
import { snapshotOf } from "../../../lib/snapshots.ts";
import { countSteps } from "../../../lib/steps.ts";

const parsed = (text: string) => {
  const { ranges, star } = sequenceSet(text);
  return { ranges: [...ranges], star };
};

test("parseSequenceSet() reads what RFC 3501 allows", () => {
  const star = (lowest: number, highest: number) => ({ lowest, highest });
  assert.deepEqual(parsed("2,4:7,9,12:*"), { ranges: [2, 2, 4, 7, 9, 9], star: star(12, 12) });
  assert.deepEqual(parsed("*:4,5:7,*:9,*,*:*"), { ranges: [5, 7], star: star(4, 9) });
  assert.deepEqual(parsed("*"), { ranges: [], star: star(4_294_967_295, 0) });
  assert.deepEqual(parsed("4294967295"), { ranges: [4_294_967_295, 4_294_967_295], star: undefined });
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
    assert.throws(() => sequenceSet(text), ImapSyntaxError, text);
  }
});

test("resolveSet() puts * in, orders and merges", () => {
  assert.deepEqual([...resolveSet(sequenceSet("5:3,*,4:9,1"), 12)], [1, 1, 3, 9, 12, 12]);
  assert.deepEqual([...resolveSet(sequenceSet("20:*"), 12)], [12, 20]);
});

test("indexesOfNumbers() refuses numbers beyond the last message, and * names nothing in an empty mailbox", () => {
  assert.deepEqual(atOnce(indexesOfNumbers(sequenceSet("2:*"), 3)), [1, 3]);
  assert.throws(() => atOnce(indexesOfNumbers(sequenceSet("4"), 3)), ImapSyntaxError);
  assert.deepEqual(atOnce(indexesOfNumbers(sequenceSet("1:*"), 0)), []);
  assert.throws(() => atOnce(indexesOfNumbers(sequenceSet("1"), 0)), ImapSyntaxError);
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
      const set = sequenceSet(text);
      const indexes = atOnce(indexesOfUids(set, view));
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
  const far = resolveSet(sequenceSet(`${numbers.join(",")},5:3,*`), 17);
  assert.deepEqual([...far], [3, 5, 17, 17, 4_294_767_292, 4_294_967_294]);
});

test("UID sets over many chunks name what each UID alone does", () => {
  const view = snapshotOf(Array.from({ length: 12_000 }, (_, i) => ({ uid: 3 * i + 1 })));
  for (const step of [1, 2, 3, 7, 1000, 13_000]) {
    const wanted = Array.from({ length: 300 }, (_, i) => 1 + i * step).concat(35_998, 40_000);
    const expected = wanted.filter(uid => uid % 3 === 1 && uid <= 35_998).sort((a, b) => a - b);
    const indexes = atOnce(indexesOfUids(sequenceSet(wanted.join(",")), view));
    assert.deepEqual([...uidsAt(indexes, view)], [...new Set(expected)], `every ${step}`);
    const saved = Uint32Array.from(new Set(wanted)).sort();
    assert.deepEqual(atOnce(indexesOfSaved(saved, view)), indexes, `saved, every ${step}`);
  }
});

test("what a line of a megabyte names is read, ordered and looked up in steps of a few thousand numbers", () => {
  const odd = Array.from({ length: 150_000 }, (_, i) => 2 * i + 1);
  const octets = (numbers: readonly number[]) => Buffer.from(numbers.join(","));
  const same = new Array<number>(500_000).fill(7);
  assert.ok(countSteps(parseSequenceSet(octets(same))) > 500_000 / 5000, "numbers that are one range");
  const read = countSteps(parseSequenceSet(octets(odd)));
  assert.ok(read > 150_000 / 5000);
  const disordered = odd.map((_, i) => odd[(i * 7919) % odd.length] ?? 0);
  // Each of the 17 rounds of a merge, and then all once more.
  const ordered = countSteps(parseSequenceSet(octets(disordered)));
  assert.ok(ordered > read + (17 * 150_000) / 70_000 + 150_000 / 5000);
  const set = sequenceSet(odd.join(","));
  const view = snapshotOf(Array.from({ length: 1000 }, (_, i) => ({ uid: 300 * i + 1 })));
  assert.ok(countSteps(indexesOfUids(set, view)) > 150_000 / 5000);
  assert.ok(countSteps(indexesOfNumbers(set, 300_000)) > 150_000 / 5000);
  const saved = Uint32Array.from(odd);
  assert.ok(countSteps(indexesOfSaved(saved, view)) > 150_000 / 5000);
  assert.ok(countSteps(savedRanges(saved)) > 150_000 / 5000);
});
