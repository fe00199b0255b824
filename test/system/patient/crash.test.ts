import assert from "node:assert/strict";
import { before, test } from "node:test";
import { otherKills, stepKills } from "../../lib/crash-plan.ts";
import { type CrashRunReport, crashRun } from "../../lib/crash-run.ts";
import { CRASH_STEP_NAMES } from "../../lib/crash-steps.ts";
import { SeededRandom } from "../../lib/random.ts";

/** The short form of `npm run crash`: one kill at each step, and some at any time, during a start, and of PostgreSQL alone. */
const SEED = 3;
const ROUNDS = 1;
const OTHERS = 12;
let report: CrashRunReport;

before(async () => {
  const random = new SeededRandom(SEED);
  const kills = random.shuffled([...stepKills(ROUNDS, random), ...otherKills(OTHERS, random)]);
  report = await crashRun({ kills, seed: SEED, every: 27 });
});

test("the sidecar was killed (-9) at every named step, and at other times", () => {
  assert.deepEqual(report.unreached, []);
  assert.equal(report.kills, CRASH_STEP_NAMES.length * ROUNDS + OTHERS);
  for (const step of CRASH_STEP_NAMES)
    assert.ok(
      Object.keys(report.killsByName).some(name => name.startsWith(`step ${step},`)),
      step,
    );
});

test("every message that was accepted is there, once and byte for byte", () => {
  const { promises } = report;
  assert.deepEqual(promises.lost, []);
  assert.deepEqual(promises.duplicates, []);
  assert.ok(promises.promised > 100, `${promises.promised} copies were promised`);
  assert.equal(promises.found, promises.promised + promises.uncertainFound);
});

test("UIDs, counters, redelivery keys, events, blob rows and blob files agree", () => {
  assert.deepEqual(report.promises.problems, []);
});

test("nobody was refused for good, and no mail went back to its sender", () => {
  assert.deepEqual(report.violations, []);
});

test("each start after a kill succeeded at once, and without its PostgreSQL the sidecar recovered by itself", () => {
  assert.deepEqual(report.failedStarts, []);
  assert.ok(report.recoveryMs.kills > 0);
});

test("deliveries that had been stored were recognised when they came again", () => {
  assert.ok(report.recognised > 0);
});

test("what killed processes left in the blob folder is removed once it is old", () => {
  assert.equal(report.temporaryFiles.afterAging, 0);
});
