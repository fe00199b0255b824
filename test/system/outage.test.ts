/** Quality R2: the database goes away in each of its ways under load, and comes back. The long form: `npm run outage`. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { OUTAGES, type OutageReport, outageRun } from "../lib/outage-run.ts";

const SEED = 5;
/** Those in which mail must have been told to come again; the others may be over too soon. */
const LASTING = ["stopped", "read_only", "network"];
let report: OutageReport;

before(async () => {
  report = await outageRun({ outages: OUTAGES, seed: SEED });
});

test("while the database is away, or read-only, mail is told to come again (4xx) and nobody is refused for good", () => {
  assert.deepEqual(report.violations, []);
  for (const { outage, refused } of report.outages)
    if (LASTING.includes(outage)) assert.ok(refused > 0, outage);
});

test("mail is taken again when the database is back, without a restart", () => {
  assert.equal(report.isSameProcess, true);
  assert.deepEqual(
    report.outages.map(({ outage }) => outage),
    OUTAGES,
  );
});

test("nothing that was accepted is lost or there twice, also where the connection was cut in the middle of a commit", () => {
  const { promises } = report;
  assert.deepEqual(promises.lost, []);
  assert.deepEqual(promises.duplicates, []);
  assert.deepEqual(promises.problems, []);
  assert.equal(promises.found, promises.promised + promises.uncertainFound);
});
