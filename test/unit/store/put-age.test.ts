/** A delivery whose blob was put too long ago is refused, by either clock: the collector's proof needs it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { blobDigest } from "../../../src/core/ids.ts";
import { refuseOldPut } from "../../../src/store/put-age.ts";

const HOUR_MS = 3_600_000;
const START = { steadyMs: 1_000, wallMs: 1_700_000_000_000 };
const record = {
  digest: blobDigest("ab".repeat(32)),
  sizeBytes: 1,
  storedBytes: 1,
  codec: "none" as const,
  putAt: START,
};
const later = (steadyMs: number, wallMs: number) => ({
  steadyMs: START.steadyMs + steadyMs,
  wallMs: START.wallMs + wallMs,
});

test("up to six hours are fine", () => {
  refuseOldPut(record, START);
  refuseOldPut(record, later(6 * HOUR_MS, 6 * HOUR_MS));
});

test("after six hours by the clock of the process, or by that of a host that slept, it is refused", () => {
  for (const now of [later(6 * HOUR_MS + 1, 0), later(0, 6 * HOUR_MS + 1)])
    assert.throws(() => refuseOldPut(record, now), { code: "deadline" });
});
