/** One deadline for many: without a warning of node that they are a leak. */
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
