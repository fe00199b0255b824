import assert from "node:assert/strict";
import { before, test } from "node:test";
import { type Kill, stepKills } from "../../lib/crash-plan.ts";
import { type RelayCrashReport, relayCrashRun } from "../../lib/crash-relay-run.ts";
import { CRASH_STEPS, RELAY_STEP_NAMES } from "../../lib/crash-steps.ts";
import { SeededRandom } from "../../lib/random.ts";

/** The short form of `npm run crash -- --relay`: one kill at each step of a relay, and one of PostgreSQL alone. */
const SEED = 11;
const steps = RELAY_STEP_NAMES.filter(step => CRASH_STEPS[step].path === "relay");
let report: RelayCrashReport;

before(async () => {
  const kills: readonly Kill[] = [
    ...stepKills(1, new SeededRandom(SEED), steps),
    { kind: "postgres", part: "cluster" },
  ];
  report = await relayCrashRun({ kills, seed: SEED, every: kills.length });
});

test("the sidecar was killed (-9) at every named step of a relay", () => {
  assert.deepEqual(report.unreached, []);
  assert.deepEqual(report.failedStarts, []);
  assert.equal(report.kills, steps.length + 1);
});

test("all that was accepted lies in Dovecot byte for byte, and nobody was refused for good", () => {
  assert.deepEqual(report.dovecot.lost, []);
  assert.deepEqual(report.dovecot.problems, []);
  assert.deepEqual(report.violations, []);
  assert.ok(report.dovecot.promised > 40, `${report.dovecot.promised} copies were promised`);
});

test("what lies there twice is no more than the relays of which nobody knew the end, and is counted", () => {
  assert.ok(report.windows > 0);
  assert.ok(report.counted > 0);
  assert.ok(report.twice <= report.windows, `${report.twice} copies twice, ${report.windows} open relays`);
});

test("the copies of stage mirror are there once, with UIDs and counters that agree", () => {
  assert.deepEqual(report.mirror.lost, []);
  assert.deepEqual(report.mirror.duplicates, []);
  assert.deepEqual(report.mirror.problems, []);
});
