import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { Batcher } from "../../../src/store/batcher.ts";

const LIMITS = { maxBatch: 3, maxWaiting: 5 };

test("Batcher sends what arrived in one turn together, in order, never two batches at once", async () => {
  const batches: number[][] = [];
  let running = 0;
  const batcher = new Batcher<number, number>(async items => {
    assert.equal(++running, 1);
    batches.push([...items]);
    await Promise.resolve();
    running--;
    return items.map(i => i * 10);
  }, LIMITS);
  const results = await Promise.all([1, 2, 3, 4, 5].map(i => batcher.add(i)));
  assert.deepEqual(results, [10, 20, 30, 40, 50]);
  assert.deepEqual(batches, [
    [1, 2, 3],
    [4, 5],
  ]);
});

test("Batcher retries a failed batch one by one, so a poisoned item hurts only itself", async () => {
  const batcher = new Batcher<number, number>(async items => {
    if (items.includes(2)) throw new Error("poisoned");
    return [...items];
  }, LIMITS);
  const results = await Promise.allSettled([1, 2, 3].map(i => batcher.add(i)));
  assert.deepEqual(
    results.map(r => r.status),
    ["fulfilled", "rejected", "fulfilled"],
  );
});

test("Batcher fails the whole batch at once when the store is away", async () => {
  let calls = 0;
  const batcher = new Batcher<number, number>(async () => {
    calls++;
    throw new MairustError("store_unavailable", "Cannot reach the database: refused");
  }, LIMITS);
  const results = await Promise.allSettled([1, 2, 3].map(i => batcher.add(i)));
  assert.ok(results.every(r => r.status === "rejected"));
  assert.equal(calls, 1);
});

test("Batcher refuses items past its limit with too_many", async () => {
  let release = () => undefined as unknown;
  const gate = new Promise(resolve => {
    release = () => resolve(undefined);
  });
  const batcher = new Batcher<number, number>(async items => {
    await gate;
    return [...items];
  }, LIMITS);
  const first = batcher.add(0);
  await new Promise(resolve => setImmediate(resolve));
  const waiting = [1, 2, 3, 4, 5].map(i => batcher.add(i));
  await assert.rejects(batcher.add(6), (error: MairustError) => error.code === "too_many");
  release();
  assert.deepEqual(await Promise.all([first, ...waiting]), [0, 1, 2, 3, 4, 5]);
});

test("Batcher tries the same batch once more when the failure only met another transaction", async () => {
  const sizes: number[] = [];
  const batcher = new Batcher<number, number>(
    async items => {
      sizes.push(items.length);
      if (sizes.length === 1) throw new Error("deadlock");
      return [...items];
    },
    { ...LIMITS, isPassing: error => /deadlock/u.test(error.message) },
  );
  assert.deepEqual(await Promise.all([1, 2, 3].map(i => batcher.add(i))), [1, 2, 3]);
  assert.deepEqual(sizes, [3, 3]);
});

test("Batcher bounds a batch by weight, and takes an item that is too heavy alone", async () => {
  const batches: number[][] = [];
  const batcher = new Batcher<number, number>(
    async items => {
      batches.push([...items]);
      return [...items];
    },
    { maxBatch: 10, maxWaiting: 10, weigh: item => item, maxWeight: 10 },
  );
  await Promise.all([4, 5, 3, 50, 1].map(i => batcher.add(i)));
  assert.deepEqual(batches, [[4, 5], [3], [50], [1]]);
});
