/** Deadlines: what ends one below another, and one for many without a warning of node that they are a leak. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { deadlineAfter, within } from "../../../src/platform/deadline.ts";

test("a hundred may wait for one deadline, and nobody warns of a leak", async () => {
  const warnings: string[] = [];
  const hear = (warning: Error) => void warnings.push(warning.name);
  process.on("warning", hear);
  const deadline = deadlineAfter(60_000);
  await Promise.all(Array.from({ length: 100 }, () => within(new Promise(setImmediate), deadline)));
  deadline.dispose();
  await new Promise(setImmediate);
  process.off("warning", hear);
  assert.deepEqual(
    warnings.filter(name => name === "MaxListenersExceededWarning"),
    [],
  );
});

test("what ends a deadline ends those below it and who waits, with one reason, whenever the signal is asked for", async () => {
  const cut = new AbortController();
  const [top, other] = [deadlineAfter(60_000, cut.signal), deadlineAfter(60_000)];
  const [below, early] = [deadlineAfter(60_000, top), deadlineAfter(60_000, top)];
  const { signal } = early;
  const waiting = within(new Promise(() => undefined), below);
  const done = within(Promise.resolve("done"), below);
  const above = top.signal;
  below.onEnd(() => told.push(above.aborted ? "told" : "told too early"));
  const told: string[] = [];
  assert.equal(await done, "done");
  assert.ok(below.remainingMs() > 0);
  const reason = new Error("cancelled");
  cut.abort(reason);
  await assert.rejects(waiting, reason);
  assert.deepEqual(
    [top, below, early].map(one => [one.remainingMs(), one.signal.aborted, one.signal.reason === reason]),
    Array.from({ length: 3 }, () => [0, true, true]),
  );
  assert.equal(signal.reason, reason);
  await assert.rejects(within(new Promise(() => undefined), deadlineAfter(60_000, below)), reason);
  below.onEnd(() => told.push("at once"));
  assert.deepEqual(told, ["told", "at once"], "and the signal above is aborted first");
  assert.equal(other.signal.aborted, false);
  for (const one of [top, other, below, early]) one.dispose();
});

test("a deadline that was disposed of hears nothing of the one above, nor does who has finished", async () => {
  const top = deadlineAfter(60_000);
  const below = deadlineAfter(60_000, top);
  let told = 0;
  const listener = () => {
    told += 1;
  };
  top.onEnd(listener);
  top.offEnd(listener);
  below.dispose();
  const short = deadlineAfter(1);
  await assert.rejects(within(new Promise(resolve => setTimeout(resolve, 60_000).unref()), short), {
    code: "deadline",
  });
  assert.equal(short.remainingMs(), 0);
  assert.deepEqual([below.signal.aborted, told], [false, 0]);
  top.dispose();
});
