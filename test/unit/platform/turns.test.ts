/** Turns: who is next, and what is kept of whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Turns } from "../../../src/platform/turns.ts";

/** Work that ends when it is told to, and what began, in its order. */
function bench(running: number, waiting = 1000) {
  const turns = new Turns({ running, waiting, refusal: "too many", publicText: "too many" });
  const began: string[] = [];
  const ends: (() => void)[] = [];
  return {
    turns,
    began,
    take(name: string, whose?: string, gone?: AbortSignal): Promise<void> {
      const work = () => {
        began.push(name);
        return new Promise<void>(resolve => ends.push(resolve));
      };
      return turns.take(work, gone, whose);
    },
    /** Ends what runs, one after the other, until nothing does. */
    async drain(): Promise<void> {
      for (let end = ends.shift(); end !== undefined; end = ends.shift()) {
        end();
        await setImmediate();
      }
    },
  };
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

test("lines take turns, and in each the first that came is first", async () => {
  const { turns, began, take, drain } = bench(2);
  const all = range(30).map(i => take(`a${i}`, "a"));
  all.push(take("b0", "b"), take("b1", "b"), take("c0", "c"));
  assert.deepEqual(turns.load, { running: 2, waiting: 31, lines: 3 });
  await drain();
  await Promise.all(all);
  assert.deepEqual(began.slice(0, 8), ["a0", "a1", "a2", "b0", "c0", "a3", "b1", "a4"]);
  assert.deepEqual(
    began.filter(name => name.startsWith("a")),
    range(30).map(i => `a${i}`),
  );
});

test("who comes again and again waits behind who waits already", async () => {
  const { began, take, drain } = bench(1);
  const first = take("a0", "a");
  const again = first.then(() => take("a1", "a"));
  const all = [first, again, take("b0", "b"), take("b1", "b"), take("c0", "c")];
  await drain();
  await Promise.all(all);
  assert.deepEqual(began, ["a0", "b0", "c0", "b1", "a1"]);
});

test("who leaves while it waits gives its place in the line back, and the line goes with the last one", async () => {
  const { turns, began, take, drain } = bench(1);
  const first = take("a0", "a");
  const gone = new AbortController();
  const left = [take("b0", "b", gone.signal), take("b1", "b", gone.signal)].map(one => assert.rejects(one));
  const last = take("c0", "c");
  assert.deepEqual(turns.load, { running: 1, waiting: 3, lines: 2 });
  gone.abort();
  await Promise.all(left);
  assert.deepEqual(turns.load, { running: 1, waiting: 1, lines: 1 });
  await drain();
  await Promise.all([first, last]);
  assert.deepEqual(began, ["a0", "c0"]);
  assert.deepEqual(turns.load, { running: 0, waiting: 0, lines: 0 });
});

test("those that wait are bounded, all lines together", async () => {
  const { turns, take, drain } = bench(1, 2);
  const all = [take("a0", "a"), take("a1", "a"), take("b0", "b")];
  await assert.rejects(take("c0", "c"), { code: "too_many" });
  assert.deepEqual(turns.load, { running: 1, waiting: 2, lines: 2 });
  await drain();
  await Promise.all(all);
});

test("work that fails passes its turn on", async () => {
  const { turns, began, take, drain } = bench(1);
  const failed = assert.rejects(
    turns.take(() => Promise.reject(new Error("no")), undefined, "a"),
    /no/u,
  );
  const next = take("b0", "b");
  await failed;
  await drain();
  await next;
  assert.deepEqual(began, ["b0"]);
});
