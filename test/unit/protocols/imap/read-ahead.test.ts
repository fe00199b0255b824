/** Steps that run ahead: in order, bounded by number and by octets, and none is left behind. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadAhead } from "../../../../src/protocols/imap/read-ahead.ts";

/** What is open, consumed and dropped; a step that is consumed is not open any more. */
function started(limits: { steps: number; bytes: number }, consume?: (step: number) => void) {
  const seen = { consumed: [] as number[], dropped: [] as number[] };
  const ahead = new ReadAhead<number>(
    limits,
    async step => {
      await Promise.resolve();
      consume?.(step);
      seen.consumed.push(step);
    },
    async step => {
      seen.dropped.push(step);
      if (step === 3) throw new Error("cannot drop");
    },
  );
  return { seen, ahead };
}

const after = (step: number, ms = 0) => new Promise<number>(resolve => setTimeout(resolve, ms, step));

test("steps are consumed in order, whichever is ready first", async () => {
  const { seen, ahead } = started({ steps: 4, bytes: 1000 });
  for (let step = 0; step < 10; step += 1) await ahead.add(after(step, 5 - (step % 5)), 1);
  assert.equal(ahead.isEmpty, false);
  await ahead.finish();
  assert.ok(ahead.isEmpty);
  assert.deepEqual(seen, { consumed: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], dropped: [] });
});

test("there is room for so many steps, and for so many octets: one may have more", async () => {
  const few = started({ steps: 3, bytes: 1000 });
  assert.equal(few.ahead.add(after(1), 1), undefined);
  assert.equal(few.ahead.add(after(2), 1), undefined);
  await few.ahead.add(after(3), 1);
  assert.deepEqual(few.seen.consumed, [1]);
  const small = started({ steps: 30, bytes: 1000 });
  assert.equal(small.ahead.add(after(1), 600), undefined);
  await small.ahead.add(after(2), 300);
  await small.ahead.add(after(3), 200);
  assert.deepEqual(small.seen.consumed, [1]);
  await small.ahead.add(after(4), 5000);
  assert.deepEqual(small.seen.consumed, [1, 2, 3, 4]);
  assert.ok(small.ahead.isEmpty);
});

test("what a consumer fails with is told, and its step and all others are dropped, though one cannot be", async () => {
  const { seen, ahead } = started({ steps: 3, bytes: 1000 }, step => {
    if (step === 2) throw new Error("gone");
  });
  for (const step of [1, 2, 3]) await ahead.add(after(step), 1);
  await assert.rejects(async () => ahead.add(after(4), 1), /gone/u);
  assert.deepEqual(seen, { consumed: [1], dropped: [2] });
  await assert.rejects(ahead.dropRest(), /cannot drop/u);
  assert.deepEqual(seen, { consumed: [1], dropped: [2, 3, 4] });
  await ahead.dropRest();
});
