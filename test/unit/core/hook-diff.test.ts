import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckedAnswer } from "../../../src/core/answer.ts";
import { differencesOf } from "../../../src/core/hook-diff.ts";
import { NO_FIGURES, notReady, overThresholds } from "../../../src/core/hook-figures.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import { budgetOf, capsOf } from "../../../src/core/plugin-limits.ts";
import type { HookDecision } from "../../../src/core/ports/hooks.ts";
import { DEMOTE_DEFAULTS } from "../../../src/wire/config/hooks.ts";
import { NOTHING } from "../../lib/no-answer.ts";

const diff = (answer: Partial<CheckedAnswer>, decision: Partial<HookDecision> = {}) =>
  differencesOf({ kind: "answer", answer: { ...NOTHING, ...answer } }, { ...DELIVER, ...decision }).map(
    ({ field, would, was }) => `${field}: ${was} → ${would}`,
  );

test("what would have been otherwise is named, and only that", () => {
  assert.deepEqual(diff({}), []);
  assert.deepEqual(diff({ action: "reject" }), ["action: deliver → reject"]);
  assert.deepEqual(diff({ action: "hold" }, { action: "reject" }), []);
  assert.deepEqual(diff({ tagsAdd: ["a", "b"], tagsRemove: ["c", "d"] }, { tags: ["a", "c"] }), [
    "tags: a c → +b -c",
  ]);
  assert.deepEqual(diff({ folder: "Junk" }, { folder: "Junk" }), []);
  assert.deepEqual(diff({ folder: "Junk" }), ["folder:  → Junk"]);
  assert.deepEqual(diff({ headers: [["X-A", "1"]] }, { headers: [["X-A", "2"]] }), ["headers: X-A → X-A"]);
  assert.deepEqual(diff({ systemFlags: 3, keywords: ["k"] }, { flags: { system: 3, keywords: [] } }), [
    "flags:  → k",
  ]);
  assert.deepEqual(diff({ metadata: new Map([["plugin:a:score", 1]]) }), []);
});

test("what is refused carries no changes, whoever wanted them", () => {
  assert.deepEqual(diff({ folder: "Junk" }, { action: "tempfail" }), []);
  assert.deepEqual(diff({ action: "reject", folder: "Junk" }), ["action: deliver → reject"]);
  assert.deepEqual(diff({ action: "hold", folder: "Junk" }), ["action: deliver → hold", "folder:  → Junk"]);
});

test("a failure would have met the hook's policy", () => {
  const failed = (policy: "allow" | "hold") => differencesOf({ kind: "failure", policy }, DELIVER);
  assert.deepEqual(failed("allow"), []);
  assert.deepEqual(failed("hold"), [{ field: "action", would: "hold", was: "deliver" }]);
});

test("thresholds: 0 is off, a few calls say nothing, disagreement counts where calls are compared", () => {
  const bad = { calls: 100, errors: 100, slow: 100, compared: 100, differing: 100 };
  const off = { ...DEMOTE_DEFAULTS, errors_percent: 0 };
  assert.deepEqual(overThresholds(bad, off, true), []);
  const all = { ...DEMOTE_DEFAULTS, latency_ms: 5, disagreement_percent: 10 };
  assert.equal(overThresholds(bad, all, true).length, 3);
  assert.equal(overThresholds(bad, all, false).length, 2);
  assert.deepEqual(overThresholds({ ...bad, calls: 99, compared: 99 }, all, true), []);
  assert.equal(overThresholds({ ...NO_FIGURES, calls: 100, errors: 5 }, DEMOTE_DEFAULTS, true).length, 1);
  assert.equal(overThresholds({ ...NO_FIGURES, calls: 101, errors: 5 }, DEMOTE_DEFAULTS, true).length, 0);
  assert.match(notReady(NO_FIGURES, DEMOTE_DEFAULTS).join(), /^0 calls within 300 s, 100 are needed$/u);
  assert.deepEqual(notReady({ ...NO_FIGURES, calls: 100 }, DEMOTE_DEFAULTS), []);
});

test("of two limits the lower one counts, and the administrator says what over budget means", () => {
  assert.deepEqual(capsOf({ reject_per_hour: 5 }, { reject_per_hour: 9, move_per_hour: 1 }), {
    reject: 5,
    move: 1,
  });
  assert.deepEqual(capsOf(undefined, {}), {});
  assert.equal(budgetOf(undefined, {}), undefined);
  assert.equal(budgetOf({ over_budget: "skip" }, {}), undefined);
  assert.deepEqual(
    budgetOf({ calls_per_day: 10, over_budget: "skip" }, { calls_per_day: 3, over_budget: "defer" }),
    {
      concurrency: undefined,
      callsPerDay: 3,
      tokensPerDay: undefined,
      overBudget: "defer",
    },
  );
});
