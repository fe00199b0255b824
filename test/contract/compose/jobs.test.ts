/** The component of jobs as the service has it: what commits leave and what comes late is worked off side by side. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { jobsOf } from "../../../src/compose/jobs.ts";
import type { HookRunner } from "../../../src/core/ports/hooks.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { createLog } from "../../../src/platform/log.ts";
import { createMetrics } from "../../../src/platform/metrics.ts";
import { chainOf, decided, NO_CHANGES, openResults, type Results, until } from "../jobs/results-rig.ts";

/** More than a node runs at a time. */
const MANY = 12;

async function startJobs(t: TestContext, rig: Results, run: HookRunner["run"]) {
  const jobs = jobsOf({
    log: createLog({ level: "error", format: "json", hash_addresses: false, write: () => undefined }),
    metrics: createMetrics({ process: false }),
    version: "0.0.0",
    db: rig.db,
    blobs: rig.blobs,
    changes: rig.changes,
    directory: rig.directory,
    recordEvents: rig.recordEvents,
    hooks: () => chainOf(run),
    sendMail: { kind: "send-mail", concurrency: 1, run: () => Promise.resolve() },
  });
  const stop = async () => {
    if (jobs.component.state !== "running") return;
    const deadline = deadlineAfter(30_000);
    await jobs.component.stop(deadline);
    deadline.dispose();
  };
  await jobs.component.init();
  await jobs.component.start();
  t.after(async () => {
    await stop();
    await rig.close();
  });
  return { ...jobs, stop };
}

test("hooks that take their time hold up no late answer, and a stopped service leaves their jobs to the next one", async t => {
  const rig = await openResults();
  const account = await rig.account();
  let running = 0;
  const { lateAnswers, admin, stop } = await startJobs(t, rig, async (_point, { recipients }, deadline) => {
    running += 1;
    await sleep(600_000, deadline.signal).catch(() => undefined);
    return decided(recipients, {}, [{ hook: "slow", problem: "cut" }]);
  });
  const ids = [];
  for (let i = 0; i < MANY; i++) ids.push(await rig.deliver([account]));
  await until(() => running === 8);
  const [first] = ids;
  assert.ok(first);
  await lateAnswers({
    point: "pre_delivery",
    hook: "late",
    pluginId: "com.example.late",
    pluginVersion: "1.0.0",
    callId: "c",
    messageId: first,
    queueId: "",
    recipients: [account.address],
    changes: { ...NO_CHANGES, tagsAdd: ["late"] },
  });
  await until(async () => (await rig.copies(first))[0]?.keywords.includes("late") === true);
  await stop();
  const { items } = await admin.list({ kind: "post_receive", state: undefined }, { limit: 100 });
  assert.deepEqual([...new Set(items.map(job => `${job.state} ${job.attempts}`))], ["queued 0"]);
  assert.equal(items.length, MANY);
});

test("what commits leave is done for every message", async t => {
  const rig = await openResults();
  const account = await rig.account();
  await startJobs(t, rig, async (_point, { recipients }) => decided(recipients, { tags: ["seen"] }));
  const ids = await Promise.all(Array.from({ length: MANY }, () => rig.deliver([account])));
  for (const id of ids)
    await until(async () => (await rig.copies(id))[0]?.keywords.includes("seen") === true);
});
