import assert from "node:assert/strict";
import { test } from "node:test";
import { ExchangeFailure } from "../../../src/runtimes/http-exchange.ts";
import { nextStep, RETRY_LIMITS, retryAfterMs } from "../../../src/runtimes/http-retry.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");
const answer = (status: number, retryAfter?: string) => ({
  answer: {
    status,
    headers: retryAfter === undefined ? {} : { "retry-after": retryAfter },
    body: new Uint8Array(),
  },
});
const failure = (kind: ExchangeFailure["kind"]) => ({ failure: new ExchangeFailure(kind, "x") });
const step = (attempt: Parameters<typeof nextStep>[0], made = 1, remainingMs = 5000) =>
  nextStep(attempt, made, remainingMs, RETRY_LIMITS, NOW);

test("only what the plugin did not get, or did not want now, is sent again", () => {
  for (const status of [429, 500, 501, 502, 503, 504, 599])
    assert.deepEqual(step(answer(status)), { kind: "again", pauseMs: 50, fresh: false });
  for (const status of [200, 204, 301, 307, 400, 401, 404, 408, 410, 422])
    assert.deepEqual(step(answer(status)), { kind: "done" });
  assert.deepEqual(step(failure("unreached")), { kind: "again", pauseMs: 50, fresh: false });
  assert.deepEqual(step(failure("stale")), { kind: "again", pauseMs: 0, fresh: true });
  assert.deepEqual(step(failure("broken")), { kind: "done" });
});

test("pauses grow, tries are bounded, and a pause that does not fit is not begun", () => {
  assert.deepEqual(
    [1, 2, 3].map(made => step(failure("unreached"), made)),
    [50, 200, 800].map(pauseMs => ({ kind: "again", pauseMs, fresh: false })),
  );
  assert.deepEqual(step(failure("unreached"), 4), { kind: "done" });
  assert.deepEqual(step(failure("stale"), 4), { kind: "done" });
  assert.deepEqual(step(failure("unreached"), 3, 800), { kind: "done" });
});

test("Retry-After: seconds or a date, the longer of it and our own pause", () => {
  assert.deepEqual(step(answer(503, "2")), { kind: "again", pauseMs: 2000, fresh: false });
  assert.deepEqual(step(answer(503, "0")), { kind: "again", pauseMs: 50, fresh: false });
  assert.deepEqual(step(answer(503, "5")), { kind: "done" });
  assert.equal(retryAfterMs({ "retry-after": "Thu, 01 Jan 2026 00:00:03 GMT" }, NOW), 3000);
  assert.equal(retryAfterMs({ "retry-after": "Wed, 31 Dec 2025 00:00:03 GMT" }, NOW), 0);
  for (const odd of ["", "-1", "1.5", "soon", "99999999999", "2026-01-01"])
    assert.equal(retryAfterMs({ "retry-after": odd }, NOW), undefined, odd);
});
