/** Sequence sets against a plain model: every pair by itself, then all of them sorted and put together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { atOnce } from "../../../../src/core/steps.ts";
import { lastSameUid } from "../../../../src/protocols/imap/resync.ts";
import { indexesOfNumbers, rangesHave, resolveSet } from "../../../../src/protocols/imap/sequence-set.ts";
import { sequenceSet } from "../../../lib/sequence-sets.ts";
import { snapshotOf } from "../../../lib/snapshots.ts";

const LAST = 4_294_967_295;

type Pair = readonly [from: number, to: number];

function plainPairs(text: string, max: number): Pair[] {
  return text.split(",").map(part => {
    const [a = 0, b = a] = part.split(":").map(word => (word === "*" ? max : Number(word)));
    return [Math.min(a, b), Math.max(a, b)];
  });
}

function plainRanges(text: string, max: number): number[] {
  const merged: number[] = [];
  for (const [from, to] of plainPairs(text, max).sort(([a], [b]) => a - b)) {
    const last = merged.length - 1;
    if (last > 0 && from <= (merged[last] ?? 0) + 1) merged[last] = Math.max(merged[last] ?? 0, to);
    else merged.push(from, to);
  }
  return merged;
}

const number = fc.oneof(
  fc.integer({ min: 1, max: 40 }).map(String),
  fc.integer({ min: LAST - 20, max: LAST }).map(String),
  fc.constant("*"),
);
const part = fc.tuple(number, fc.option(number)).map(([a, b]) => (b === null ? a : `${a}:${b}`));
const set = fc.array(part, { minLength: 1, maxLength: 15 }).map(parts => parts.join(","));
const max = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.constantFrom(LAST - 1, LAST));

test("a set in any order, with overlaps, * and the highest numbers, is what each of its pairs names", () => {
  fc.assert(
    fc.property(set, max, (text, max) => {
      const ranges = resolveSet(sequenceSet(text), max);
      const expected = plainRanges(text, max);
      assert.deepEqual([...ranges], expected);
      for (const edge of expected) {
        for (const near of [edge - 1, edge, edge + 1]) {
          const named = plainPairs(text, max).some(([from, to]) => from <= near && near <= to);
          assert.equal(rangesHave(ranges, near), named, `${near} of ${text}`);
        }
      }
    }),
    { seed: 9, numRuns: 1500 },
  );
});

test("numbers of more than one step are the same set in whatever order they come", () => {
  for (const seed of [1, 2, 3]) {
    // 12 007 is a prime: each number comes once or twice.
    const parts = Array.from({ length: 13_000 }, (_, i) => {
      const from = 1 + ((i * 7919 * seed) % 12_007) * (seed + 1);
      return i % 5 === 0 ? `${from + seed}:${from}` : String(from);
    });
    const text = `${parts.join(",")},*:30000`;
    assert.deepEqual([...resolveSet(sequenceSet(text), 29_990)], plainRanges(text, 29_990), `seed ${seed}`);
  }
});

test("indexesOfNumbers() names what each pair does, and refuses what is beyond the last message", () => {
  fc.assert(
    fc.property(set, fc.integer({ min: 0, max: 50 }), (text, count) => {
      const numbers = text.split(/[,:]/u).filter(word => word !== "*");
      const beyond = numbers.some(word => Number(word) > count);
      const named = () => atOnce(indexesOfNumbers(sequenceSet(text), count));
      if (count === 0 && text.includes("*")) assert.deepEqual(named(), []);
      else if (beyond) assert.throws(named);
      else
        assert.deepEqual(
          named(),
          plainRanges(text, count).map((number, i) => (i % 2 === 0 ? number - 1 : number)),
        );
    }),
    { seed: 9, numRuns: 500 },
  );
});

test("pairs of numbers and UIDs mean the same in any order, reversed and told twice", () => {
  const shape = fc.record({
    uids: fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }),
    gone: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 }),
    /** Stretches of what the client remembers, by index. */
    told: fc.array(fc.tuple(fc.nat(29), fc.nat(4), fc.boolean()), { minLength: 1, maxLength: 12 }),
  });
  fc.assert(
    fc.property(shape, ({ uids, gone, told }) => {
      const known = [...uids].sort((a, b) => a - b);
      const there = known.filter(uid => !gone.includes(uid));
      const stretches = told.map(([at, length, reversed]) => {
        const from = at % known.length;
        const to = Math.min(from + length, known.length - 1);
        return { from, to, reversed };
      });
      const numbers = stretches.map(({ from, to, reversed }) =>
        reversed ? `${to + 1}:${from + 1}` : `${from + 1}:${to + 1}`,
      );
      const listed = stretches.map(({ from, to, reversed }) => {
        const some = known.slice(from, to + 1);
        return (reversed ? some.reverse() : some).join(",");
      });
      const match = { numbers: sequenceSet(numbers.join(",")), uids: sequenceSet(listed.join(",")) };
      const view = snapshotOf(there.map(uid => ({ uid })));
      const indexes = stretches.flatMap(({ from, to }) =>
        Array.from({ length: to - from + 1 }, (_, i) => from + i),
      );
      const holding = indexes.filter(index => there[index] === known[index]).map(index => known[index] ?? 0);
      assert.equal(atOnce(lastSameUid(view, match)), Math.max(0, ...holding));
    }),
    { seed: 7162, numRuns: 500 },
  );
});
