/** Quality R2 and R3: the database goes away, a disk is full, in each of their ways under load, and comes back. The long form: `npm run outage`. */
import assert from "node:assert/strict";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { isDiskOutage, OUTAGES, type OutageReport, outageRun } from "../../lib/outage-run.ts";
import { noSmallDisk } from "../../lib/small-disk.ts";

const SEED = 5;
/** Those in which mail must have been told to come again; the others may be over too soon. */
const LASTING = ["stopped", "read_only", "network"];
/** Where the machine lets nobody mount, as in some containers, the full disks are left out, for everybody to see. */
const problem = noSmallDisk(mkdtempSync(join(tmpdir(), "mr-disk-")));
const outages = OUTAGES.filter(outage => problem === undefined || !isDiskOutage(outage));
const onDisks = { skip: problem ?? false };
let report: OutageReport;

before(async () => {
  report = await outageRun({ outages, seed: SEED });
});

function repliesTo(outage: string): readonly string[] {
  return report.outages.find(one => one.outage === outage)?.replies ?? [problem ?? "it did not happen"];
}

test("while the database is away, or read-only, mail is told to come again (4xx) and nobody is refused for good", () => {
  assert.deepEqual(report.violations, []);
  for (const { outage, refused } of report.outages)
    if (LASTING.includes(outage)) assert.ok(refused > 0, outage);
});

test("mail is taken again when the database is back, without a restart", () => {
  assert.equal(report.isSameProcess, true);
  assert.deepEqual(
    report.outages.map(({ outage }) => outage),
    outages,
  );
});

test("nothing that was accepted is lost or there twice, also where the connection was cut in the middle of a commit", () => {
  const { promises } = report;
  assert.deepEqual(promises.lost, []);
  assert.deepEqual(promises.duplicates, []);
  assert.deepEqual(promises.problems, []);
  assert.equal(promises.found, promises.promised + promises.uncertainFound);
});

test("with no room for the blob, or for all of it, mail is told 452", onDisks, () => {
  const replies = repliesTo("blobs_full");
  assert.equal(replies.length, 3);
  for (const reply of replies) assert.match(reply, /^452 4\.3\.1 /u);
});

test("with no room for the database mail is told 452, or 451 where its server gave up", onDisks, () => {
  const replies = repliesTo("database_full");
  assert.equal(replies.length, 1);
  for (const reply of replies) assert.match(reply, /^45[12] 4\.3\.[01] /u);
});

test(
  "with no room for the log mail is taken all the same, and logged again when there is room",
  onDisks,
  () => {
    const replies = repliesTo("log_full");
    assert.equal(replies.length, 20);
    for (const reply of replies) assert.match(reply, /^250 2\.0\.0 /u);
  },
);
