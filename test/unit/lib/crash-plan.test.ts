import assert from "node:assert/strict";
import { test } from "node:test";
import { planKills } from "../../lib/crash-plan.ts";
import { CRASH_STEP_NAMES, CRASH_STEPS } from "../../lib/crash-steps.ts";
import { SeededRandom } from "../../lib/random.ts";

test("planKills() kills at each step as often as at each other, and at other times", () => {
  const kills = planKills(300, new SeededRandom(1));
  assert.equal(kills.length, 300);
  const perStep = CRASH_STEP_NAMES.map(
    step => kills.filter(k => k.kind === "step" && k.step === step).length,
  );
  assert.equal(new Set(perStep).size, 1);
  assert.ok((perStep[0] ?? 0) >= 6);
  for (const kind of ["random", "startup", "postgres"])
    assert.ok(kills.filter(k => k.kind === kind).length >= 20, kind);
});

test("planKills() ends PostgreSQL alone only at steps that wait for it", () => {
  for (const kill of planKills(600, new SeededRandom(2)))
    if (kill.kind === "step" && kill.victim === "postgres")
      assert.ok(CRASH_STEPS[kill.step].withoutPostgres, kill.step);
});

test("planKills() gives the same plan for the same seed", () => {
  assert.deepEqual(planKills(50, new SeededRandom(7)), planKills(50, new SeededRandom(7)));
  assert.notDeepEqual(planKills(50, new SeededRandom(7)), planKills(50, new SeededRandom(8)));
});
