import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { inSlices, SLICE_STEPS } from "../../../../src/platform/slices.ts";
import { sortedIndexes } from "../../../../src/protocols/imap/sorted-indexes.ts";
import { whileThere } from "../../../../src/protocols/imap/while-there.ts";

/** The result, and how often others had their turn. */
function run(values: readonly number[]): { sorted: number[]; turns: number } {
  const work = sortedIndexes(Float64Array.from(values));
  for (let turns = 0; ; turns += 1) {
    const step = work.next();
    if (step.done === true) return { sorted: [...step.value], turns };
  }
}

test("sortedIndexes() sorts as a stable sort does", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5, max: 5 }), { maxLength: 200 }), values => {
      const expected = values.map((_, i) => i).sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
      assert.deepEqual(run(values).sorted, expected);
    }),
  );
});

test("sortedIndexes() lets others have their turn at least once in so many steps", () => {
  const count = 200_000;
  const { sorted, turns } = run(Array.from({ length: count }, (_, i) => (i * 7919) % count));
  assert.ok(sorted.every((index, i) => (index * 7919) % count === i));
  assert.ok(turns >= (Math.ceil(Math.log2(count)) * count) / (2 * SLICE_STEPS), `${turns}`);
});

test("work in slices ends when nobody waits for it", async () => {
  const gone = new AbortController();
  function* work(): Generator<void, number> {
    yield;
    gone.abort();
    yield;
    return 1;
  }
  await assert.rejects(
    whileThere(gone.signal, () => inSlices(work(), gone.signal)),
    { name: "ConnectionGone" },
  );
});
