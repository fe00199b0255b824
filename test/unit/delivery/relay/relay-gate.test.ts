import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { RelayGate } from "../../../../src/delivery/relay/relay-gate.ts";
import { deadlineAfter } from "../../../../src/platform/deadline.ts";

function limit(t: TestContext, ms = 10_000) {
  const deadline = deadlineAfter(ms);
  // Deadlines do not keep the process alive.
  const alive = setInterval(() => undefined, 1_000);
  t.after(() => {
    clearInterval(alive);
    deadline.dispose();
  });
  return deadline;
}

test("an open gate lets all pass; a closed one is quiet when the last one is out", async t => {
  const gate = new RelayGate(10);
  const end = limit(t);
  const leave = [await gate.enter(end), await gate.enter(end)];
  let isQuiet: boolean | undefined;
  const closed = gate.close(10_000, end).then(quiet => {
    isQuiet = quiet;
  });
  leave[0]?.();
  await Promise.resolve();
  assert.equal(isQuiet, undefined);
  leave[1]?.();
  await closed;
  assert.equal(isQuiet, true);
  gate.open();
});

test("who waits at a closed gate goes on when it opens, or with an error when its own deadline passes", async t => {
  const gate = new RelayGate(10);
  const end = limit(t);
  assert.equal(await gate.close(10_000, end), true);
  await assert.rejects(gate.enter(limit(t, 10)), { code: "deadline" });
  const entered = gate.enter(end);
  gate.open();
  (await entered)();
});

test("closed a second time it stays closed for those who wait already, and opens once", async t => {
  const gate = new RelayGate(10);
  const end = limit(t);
  await gate.close(1, end);
  const entered = gate.enter(end);
  await gate.close(10_000, end);
  await assert.rejects(gate.enter(limit(t, 30)), { code: "deadline" }, "the first time is not what counts");
  gate.open();
  (await entered)();
});

test("a gate that nobody opens opens by itself", async t => {
  const gate = new RelayGate(10);
  const end = limit(t);
  await gate.close(10, end);
  (await gate.enter(end))();
});

test("only so many wait", async t => {
  const gate = new RelayGate(1);
  const end = limit(t);
  await gate.close(10_000, end);
  const first = gate.enter(end);
  await assert.rejects(gate.enter(end), { code: "too_many" });
  gate.open();
  (await first)();
});
