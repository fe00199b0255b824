/** What keeps hooks from going too far, on two nodes over one database: durable, shared, and taken over after a restart. */
import assert from "node:assert/strict";
import { after, before, beforeEach, type TestContext, test } from "node:test";
import { hookGuard } from "../../../src/compose/hook-guard.ts";
import { MairustError } from "../../../src/core/errors.ts";
import type { HookPlugin } from "../../../src/core/hook-plugin.ts";
import type { AdminAlert } from "../../../src/core/ports/alerts.ts";
import type { AuditEntry } from "../../../src/core/ports/audit.ts";
import { MAX_DIFFS_PER_HOOK } from "../../../src/core/ports/hook-guard.ts";
import type { Tallies } from "../../../src/core/ports/tallies.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { createLog } from "../../../src/platform/log.ts";
import { createMetrics } from "../../../src/platform/metrics.ts";
import type { Db } from "../../../src/store/db.ts";
import { createGuardRecords } from "../../../src/store/hook-guard.ts";
import { deleteExpired } from "../../../src/store/housekeeping.ts";
import { createTallies } from "../../../src/store/tallies.ts";
import { DEMOTE_DEFAULTS } from "../../../src/wire/config/hooks.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { awake } from "../../unit/hooks/awake.ts";
import { factsOf, theOne } from "../../unit/hooks/message.ts";
import { type Behaviour, EVERYTHING, pluginOf, rigOf, rowOf } from "../../unit/hooks/rig.ts";

const NOON = Date.parse("2026-03-01T12:00:00Z");
const HOUR_MS = 3_600_000;

let database: TestDatabase;
before(async () => {
  database = await startTestDatabase();
});
after(() => database.stop());
beforeEach(() => database.db.run`truncate hook_overrides, bypasses, hook_diffs, tallies`);

interface NodeOptions {
  readonly change?: Partial<HookPlugin>;
  readonly row?: Parameters<typeof rowOf>[1];
  readonly tallies?: Tallies;
  readonly db?: Db;
  readonly now?: () => Date;
}

async function startNode(t: TestContext, behave: Behaviour, options: NodeOptions = {}) {
  const clock = { ms: NOON };
  const alerts: AdminAlert[] = [];
  const audited: AuditEntry[] = [];
  const db = options.db ?? (await database.open());
  const plugin = pluginOf("a", behave, { ...EVERYTHING, decide: ["reject"] }, options.change);
  const handle = hookGuard({
    log: createLog({ level: "error", format: "json", hash_addresses: false, write: () => undefined }),
    metrics: createMetrics({ process: false }),
    version: "0.3.0",
    db,
    records: createGuardRecords(db),
    tallies: options.tallies ?? createTallies(db),
    alerts: { tell: alert => alerts.push(alert) },
    audit: { record: async entry => void audited.push(entry) },
    plugins: () => [plugin],
    now: options.now ?? (() => new Date(clock.ms)),
  });
  await handle.component.init();
  await handle.component.start();
  const stop = async () => {
    if (handle.component.state !== "running") return;
    const deadline = deadlineAfter(5000);
    await handle.component.stop(deadline);
    deadline.dispose();
  };
  t.after(stop);
  const { runner } = rigOf([plugin], [rowOf("a", options.row)], { guard: handle.guard });
  const run = async () => {
    const deadline = deadlineAfter(5000);
    const one = theOne(await awake(runner.run("pre_delivery", factsOf("Subject: x\n\nbody"), deadline)));
    deadline.dispose();
    const events = [...one.events, ...((await one.late) ?? [])];
    return { action: one.action, mode: events[0]?.data.mode, outcome: events[0]?.data.outcome };
  };
  return { ...handle, clock, alerts, audited, run, stop };
}

/** Until another node has heard of it by itself. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = deadlineAfter(60_000);
  while (!holds()) {
    assert.ok(deadline.remainingMs() > 0, "never heard of it");
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  deadline.dispose();
}

const strict = { demote: { ...DEMOTE_DEFAULTS, min_calls: 4 }, on_error: "allow" } as const;

test("a demotion is in effect at once, on the other node when it hears of it, after a restart, and until it is restored", async t => {
  const one = await startNode(t, () => "garbage", { row: strict });
  const other = await startNode(t, () => ({ action: "reject" }), { row: strict });
  for (let i = 0; i < 4; i++) assert.equal((await one.run()).mode, "enforce");
  assert.equal((await one.run()).mode, "shadow");
  await until(() => other.guard.isDemoted("a"));
  assert.deepEqual(await other.run(), { action: "deliver", mode: "shadow", outcome: "ok" });
  assert.deepEqual(
    one.alerts.map(({ kind, hook }) => [kind, hook]),
    [["demotion", "a"]],
  );
  assert.deepEqual(
    one.audited.map(({ actor, action, object }) => [actor, action, object]),
    [["rule:demotion", "hook.demote", "a"]],
  );
  const health = await one.component.health();
  assert.match(`${health.status} ${health.detail}`, /^degraded hook a is demoted: 4 of 4 calls failed/u);
  await one.stop();
  const restarted = await startNode(t, () => ({ action: "reject" }), { row: strict });
  assert.equal((await restarted.run()).action, "deliver");
  assert.equal(await restarted.admin.restore("a"), true);
  assert.equal((await restarted.run()).action, "reject");
  await until(() => !other.guard.isDemoted("a"));
  assert.equal(await restarted.admin.restore("a"), false);
});

test("a demotion while the database is away is in effect, and durable once it is back", async t => {
  let away = false;
  const real = createTallies(database.db);
  const records = createGuardRecords(database.db);
  const refuse = () => Promise.reject(new MairustError("store_unavailable", "Cannot ask: it is away"));
  const db: Db = {
    ...database.db,
    query: (strings, ...values) => (away ? refuse() : database.db.query(strings, ...values)),
    run: (strings, ...values) => (away ? refuse() : database.db.run(strings, ...values)),
    notify: (channel, payload) => (away ? refuse() : database.db.notify(channel, payload)),
    listen: (...args) => database.db.listen(...args),
    begin: (...args) => database.db.begin(...args),
  };
  const node = await startNode(t, () => "garbage", { row: strict, db });
  away = true;
  for (let i = 0; i < 4; i++) await node.run();
  assert.equal((await node.run()).mode, "shadow");
  await assert.rejects(node.sync(), { code: "store_unavailable" });
  assert.deepEqual(await records.demotions(), []);
  away = false;
  await node.sync();
  assert.deepEqual(
    (await records.demotions()).map(({ hook }) => hook),
    ["a"],
  );
  // What was counted meanwhile is not lost.
  const counted = (await real.read("hook", new Date(0), "a")).filter(({ what }) => what === "calls");
  assert.deepEqual(
    counted.map(({ amount }) => amount),
    [5],
  );
});

test("counts that cannot be kept hold up neither a bypass nor another node's demotion, and caps still hold", async t => {
  const real = createTallies(database.db);
  const broken = { add: true, read: true };
  const fail = () => Promise.reject(new MairustError("store_unavailable", "Cannot count: the table is away"));
  const tallies: Tallies = {
    add: list => (broken.add ? fail() : real.add(list)),
    read: (...args) => (broken.read ? fail() : real.read(...args)),
  };
  const now = () => new Date();
  broken.read = false;
  const change = { caps: { reject: 2 } };
  const node = await startNode(t, () => ({ action: "reject" }), { tallies, change, now });
  broken.read = true;
  const records = createGuardRecords(database.db);
  await records.setBypass({ plugin: "a", until: undefined, by: "local:root", at: now() });
  await records.demote({ hook: "z", reason: "it fails", at: now() });
  assert.equal((await node.run()).action, "reject");
  await assert.rejects(node.sync(), { code: "store_unavailable" });
  assert.equal((await node.run()).outcome, "bypassed");
  assert.equal(node.guard.isDemoted("z"), true);
  await node.admin.endBypass("a");
  assert.equal((await node.run()).action, "reject");
  // Written, and never read again: what this node did still counts.
  broken.add = false;
  for (let i = 0; i < 3; i++) await assert.rejects(node.sync(), { code: "store_unavailable" });
  assert.equal((await node.run()).action, "deliver");
});

test("what a plugin may not do is audited, once for many messages", async t => {
  const node = await startNode(t, () => ({ flags: { add: ["\\Seen"] } }));
  for (let i = 0; i < 3; i++) await node.run();
  assert.deepEqual(
    node.audited.map(({ actor, action, object, detail }) => [actor, action, object, detail]),
    [["rule:grant", "plugin.denied", "a", { hook: "a", item: "flags", why: "write_flags is not granted" }]],
  );
});

test("a bypass holds on all nodes and over a restart, ends by itself, and by a word", async t => {
  const behave: Behaviour = () => ({ action: "reject" });
  // By the clock of the database it must not be over.
  const now = () => new Date();
  const one = await startNode(t, behave, { now });
  const other = await startNode(t, behave, { now });
  const until1 = new Date(Date.now() + HOUR_MS);
  await one.admin.setBypass({ plugin: undefined, until: until1, by: "local:root", at: new Date() });
  assert.equal((await one.run()).outcome, "bypassed");
  await until(() => other.guard.bypasses.length === 1);
  assert.equal((await other.run()).action, "deliver");
  assert.match(String((await other.component.health()).detail), /^all plugins: .* by local:root$/u);
  const restarted = await startNode(t, behave, { now });
  assert.equal((await restarted.run()).outcome, "bypassed");
  assert.equal(await restarted.admin.endBypass(undefined), 1);
  assert.equal((await restarted.run()).action, "reject");
  await until(() => one.guard.bypasses.length === 0);
  await one.admin.setBypass({ plugin: "b", until: new Date(Date.now() + 300), by: "x", at: new Date() });
  assert.equal((await one.run()).action, "reject");
  await until(() => one.guard.bypasses.length === 0);
});

test("caps count over nodes and restarts, within the hour", async t => {
  const behave: Behaviour = () => ({ action: "reject" });
  const change = { caps: { reject: 3 } };
  const one = await startNode(t, behave, { change });
  const other = await startNode(t, behave, { change });
  await one.run();
  await one.run();
  await one.sync();
  await other.sync();
  assert.equal((await other.run()).action, "reject");
  assert.equal((await other.run()).action, "deliver");
  assert.deepEqual(
    other.alerts.map(({ kind, plugin }) => [kind, plugin]),
    [["cap", "a"]],
  );
  assert.deepEqual(
    other.audited.map(({ actor, detail }) => [actor, detail]),
    [["rule:cap", { item: "reject", cap: 3 }]],
  );
  await other.stop();
  const restarted = await startNode(t, behave, { change });
  assert.equal((await restarted.run()).action, "deliver");
  assert.deepEqual(restarted.admin.allowances()[0]?.used.reject, 3);
  restarted.clock.ms += HOUR_MS + 60_000;
  await restarted.sync();
  assert.equal((await restarted.run()).action, "reject");
});

test("a budget of the day counts over nodes and restarts, is told once, and is new the next day", async t => {
  const usage = { input_tokens: 40, output_tokens: 10, cost_usd: 0.25 };
  const budget = {
    concurrency: undefined,
    callsPerDay: undefined,
    tokensPerDay: 100,
    overBudget: "skip",
  } as const;
  const one = await startNode(t, () => ({ usage }), { change: { budget } });
  const other = await startNode(t, () => ({ usage }), { change: { budget } });
  await one.run();
  await one.sync();
  await other.sync();
  assert.equal((await other.run()).outcome, "ok");
  assert.equal((await other.run()).outcome, "over_budget");
  assert.equal((await other.run()).outcome, "over_budget");
  assert.deepEqual(
    other.alerts.map(({ kind }) => kind),
    ["budget"],
  );
  await other.stop();
  const restarted = await startNode(t, () => ({ usage }), { change: { budget } });
  assert.equal((await restarted.run()).outcome, "over_budget");
  assert.deepEqual(await restarted.admin.usage("a", 7), [
    { plugin: "a", day: "2026-03-01", calls: 2, inputTokens: 80, outputTokens: 20, costUsd: 0.5 },
  ]);
  restarted.clock.ms += HOUR_MS * 12;
  assert.equal((await restarted.run()).outcome, "ok");
  assert.deepEqual(
    (await restarted.admin.usage(undefined, 2)).map(({ day, calls }) => [day, calls]),
    [
      ["2026-03-02", 1],
      ["2026-03-01", 2],
    ],
  );
});

test("differences are counted, the newest examples kept, and the figures are those of all nodes", async t => {
  const row = { mode: "shadow" } as const;
  const one = await startNode(t, () => ({ folder: "Junk", tags: { add: ["x"] } }), { row });
  const other = await startNode(t, () => ({}), { row });
  for (let i = 0; i < 3; i++) await one.run();
  for (let i = 0; i < 5; i++) await other.run();
  await other.sync();
  const { calls, compared, differing } = await one.admin.figures("a", 300);
  assert.deepEqual([calls, compared, differing], [8, 8, 3]);
  assert.deepEqual(await one.admin.diffCounts("a"), { compared: 8, differing: 3, folder: 3, tags: 3 });
  const [diff, ...others] = await one.admin.diffs("a", 10);
  assert.equal(others.length, 2);
  assert.deepEqual(
    [diff?.recipient, diff?.queueId, diff?.differences],
    [
      "user@example.com",
      "4XyZ1234",
      [
        { field: "folder", would: "Junk", was: "" },
        { field: "tags", would: "+x", was: "" },
      ],
    ],
  );
  for (let i = 0; i < MAX_DIFFS_PER_HOOK; i++) await one.run();
  assert.equal((await one.admin.diffs("a", 1000)).length, MAX_DIFFS_PER_HOOK);
  // Retention: these are of March, long ago by the database's clock.
  const gone = await deleteExpired(database.db, { eventsDays: 1, redeliveryWindowS: 3600 });
  assert.ok(gone.diffs === MAX_DIFFS_PER_HOOK && gone.tallies > 0, JSON.stringify(gone));
});
