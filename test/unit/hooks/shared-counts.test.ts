import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedCounts } from "../../../src/hooks/shared-counts.ts";
import { SlidingCounts } from "../../../src/hooks/sliding-counts.ts";
import { SeededRandom } from "../../lib/random.ts";

test("nothing counts twice or not at all on its way to the database, whether it gets there or not", () => {
  const counts = new SharedCounts("cap");
  counts.add("p", 60_000, "reject", 2);
  const taken = counts.take();
  counts.add("p", 60_000, "reject", 3);
  assert.equal(counts.of("p", 60_000, "reject"), 5);
  counts.failed();
  assert.equal(counts.of("p", 60_000, "reject"), 5);
  assert.deepEqual(
    [...taken, ...counts.take()].map(({ amount }) => amount),
    [2, 5],
  );
  // In the database, and not read again.
  counts.sent();
  assert.equal(counts.of("p", 60_000, "reject"), 5);
  // Another node had 10.
  counts.use([{ kind: "cap", name: "p", slot: new Date(60_000), what: "reject", amount: 15 }]);
  assert.equal(counts.of("p", 60_000, "reject"), 15);
  assert.deepEqual(counts.take(), []);
});

test("a window has what happened within it, exact to a slot", () => {
  const random = new SeededRandom(3);
  const window = 30_000;
  const counts = new SlidingCounts(window, ["calls", "errors"]);
  const happened: number[] = [];
  let now = 1_000_000;
  for (let i = 0; i < 3000; i++) {
    now += random.whole(0, random.chance(0.01) ? 20_000 : 60);
    counts.add(now, "calls");
    happened.push(now);
    const { calls, errors } = counts.totals(now);
    const slot = window / 30;
    const within = (ms: number) => happened.filter(at => at > now - ms).length;
    assert.ok(calls >= within(window - slot) && calls <= within(window), `${i}: ${calls}`);
    assert.equal(errors, 0);
  }
});
