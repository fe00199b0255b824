import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { sleep } from "../../../src/platform/deadline.ts";
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

/** Flushes of what `use` adds, with an hour to gather in unless told. */
async function gathered(
  use: (batcher: Batcher<number, number>) => Promise<unknown>,
  gatherMs = 3_600_000,
): Promise<readonly (readonly number[])[]> {
  const flushes: number[][] = [];
  const flush = async (items: readonly number[]) => {
    flushes.push([...items]);
    return items;
  };
  await use(new Batcher(flush, { ...LIMITS, gatherMs }));
  return flushes;
}

test("Batcher waits for what is on its way, and for nothing when nothing is", async () => {
  let come: (item: number) => void = () => undefined;
  const coming = new Promise<number>(resolve => {
    come = resolve;
  });
  const flushes = await gathered(async batcher => {
    await batcher.add(1);
    const later = batcher.addComing(coming);
    const now = batcher.add(2);
    await sleep(20);
    come(3);
    assert.deepEqual(await Promise.all([now, later]), [2, 3]);
    assert.equal(await batcher.addComing(Promise.resolve(4)), 4);
  });
  assert.deepEqual(flushes, [[1], [2, 3], [4]]);
});

test("Batcher goes on without what does not come, or not in time, or when it is full or ends", async () => {
  const never = new Promise<number>(() => undefined);
  const failed = await gathered(async batcher => {
    const late = batcher.addComing(sleep(20).then(() => Promise.reject(new Error("disk full"))));
    const now = batcher.add(1);
    await assert.rejects(late, /disk full/u);
    assert.equal(await now, 1);
  });
  const slow = await gathered(async batcher => {
    void batcher.addComing(never);
    // The timers of deadlines keep no process alive.
    await Promise.all([batcher.add(1), sleep(50)]);
  }, 5);
  const full = await gathered(async batcher => {
    void batcher.addComing(never);
    await Promise.all([1, 2, 3].map(i => batcher.add(i)));
  });
  const ended = await gathered(async batcher => {
    void batcher.addComing(never);
    const last = batcher.add(1);
    await sleep(5);
    await batcher.finish();
    assert.equal(await last, 1);
  });
  assert.deepEqual([failed, slow, full, ended], [[[1]], [[1]], [[1, 2, 3]], [[1]]]);
});
