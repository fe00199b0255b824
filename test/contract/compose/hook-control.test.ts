/** Hooks by command on two nodes over one database: what is refused, what goes before what, and how the other node hears of it. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, type TestContext, test } from "node:test";
import { hookControl } from "../../../src/compose/hook-control.ts";
import { hooksComponent } from "../../../src/compose/hooks.ts";
import { createSettings } from "../../../src/compose/settings.ts";
import { createTurns } from "../../../src/compose/turns.ts";
import { MairustError } from "../../../src/core/errors.ts";
import type { HookRowChange, HookView } from "../../../src/core/ports/hook-admin.ts";
import { makeSite, type Site } from "../../../src/demo/site.ts";
import { loadConfig } from "../../../src/platform/config/load.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { createLog } from "../../../src/platform/log.ts";
import { createMetrics } from "../../../src/platform/metrics.ts";
import { createHookRows } from "../../../src/store/hook-rows.ts";
import { startTestDatabase, type TestDatabase } from "../../lib/database.ts";
import { fixedSecrets } from "../../lib/plugin-secrets.ts";
import { awake } from "../../unit/hooks/awake.ts";
import { factsOf } from "../../unit/hooks/message.ts";

const PLUGIN = "com.example.mairust.hello-world";

let database: TestDatabase;
let site: Site;
before(async () => {
  database = await startTestDatabase();
  site = await makeSite({ dir: undefined, domain: "example.test", unsandboxed: true });
});
after(async () => {
  await database.stop();
  await site.remove();
});
beforeEach(() => database.db.run`delete from hooks`);

const configOf = (overrides: readonly string[] = [], configFile = site.configFile) =>
  loadConfig({ configFile, overrides: [...overrides], env: {} });

async function startNode(t: TestContext, overrides: readonly string[] = [], configFile = site.configFile) {
  const lines: string[] = [];
  const log = createLog({
    level: "info",
    format: "json",
    hash_addresses: false,
    write: line => lines.push(line),
  });
  const settings = createSettings(await configOf(["hooks=[]", ...overrides], configFile));
  const rows = createHookRows(database.db);
  const common = { settings, log, metrics: createMetrics({ process: false }), version: "0.3.0", rows };
  const hooks = hooksComponent({ ...common, secrets: fixedSecrets });
  const call = () => Promise.reject(new Error("not in this test"));
  const { control, reread } = hookControl({ ...common, hooks, turns: createTurns(), call });
  await hooks.component.init();
  await hooks.component.start();
  t.after(() => hooks.component.stop(deadlineAfter(5000)));
  const change = (changes: readonly HookRowChange[], needs: readonly string[] = [PLUGIN]) =>
    control.change(() => ({ changes, needs }), { dryRun: false });
  return { settings, hooks, control, reread, change, lines };
}

const put = (
  name: string,
  keys: Readonly<Record<string, unknown>> = {},
  version?: number,
): HookRowChange => ({
  kind: "put",
  name,
  keys: { plugin: PLUGIN, point: "pre_delivery", ...keys },
  version,
});
const namesOf = (views: readonly HookView[]) =>
  views.map(({ row, origin, state }) => [row.name, origin, state]);

async function called(hooks: ReturnType<typeof hooksComponent>): Promise<readonly unknown[]> {
  const deadline = deadlineAfter(8000);
  const run = await awake(hooks.runner.run("pre_delivery", factsOf("Subject: x\n\nbody"), deadline));
  const events = [...run.events, ...((await run.late) ?? [])];
  deadline.dispose();
  return events.map(({ data }) => [data.hook, data.mode]);
}

test("a hook that was removed and made again with another content between two readings is taken over", async t => {
  const [one, other] = [await startNode(t), await startNode(t)];
  await one.change([put("again", { mode: "enforce", priority: 5 })]);
  await other.reread();
  await one.change([{ kind: "remove", name: "again", version: 1 }]);
  await one.change([put("again", { mode: "shadow", priority: 5 })]);
  await other.reread();
  assert.deepEqual(await called(other.hooks), [["again", "shadow"]]);
  // And what a node changed itself is no news to it.
  const before = one.hooks.inUse();
  await one.reread();
  assert.equal(one.hooks.inUse(), before);
});

test("another node takes a change over when it reads the rows again, and only then", async t => {
  const [one, other] = [await startNode(t), await startNode(t)];
  await one.change([put("shared", { mode: "enforce" })]);
  assert.deepEqual(await called(one.hooks), [["shared", "enforce"]]);
  assert.ok(!(await called(other.hooks)).flat().includes("shared"));
  await other.reread();
  assert.deepEqual(await called(other.hooks), [["shared", "enforce"]]);
  // What the other one changes counts for the next change here, without a reading in between.
  await other.change([put("shared", { priority: 3 }, 1)]);
  await assert.rejects(one.change([put("shared", { priority: 4 }, 1)]), { code: "invalid_state" });
  await one.reread();
  assert.equal((await one.control.list())[0]?.row.priority, 3);
});

test("two changes at the same time are both in effect", async t => {
  const node = await startNode(t);
  await Promise.all(["a", "b"].map(name => node.change([put(name, { mode: "enforce" })])));
  assert.deepEqual(await called(node.hooks), [
    ["a", "enforce"],
    ["b", "enforce"],
  ]);
});

test("a node starts with the rows that are there", async t => {
  await createHookRows(database.db).apply([put("kept", { mode: "enforce" })]);
  assert.deepEqual(await called((await startNode(t)).hooks), [["kept", "enforce"]]);
});

test("a hook of a file goes before a row of its name; the row shows as shadowed and can be removed", async t => {
  const row =
    '[{ name = "twice", point = "pre_delivery", plugin = "com.example.mairust.hello-world", mode = "enforce" }]';
  await createHookRows(database.db).apply([put("twice"), put("other")]);
  const node = await startNode(t, [`hooks=${row}`]);
  const views = await node.control.list();
  assert.deepEqual(namesOf(views), [
    ["other", "database", "active"],
    ["twice", "file", "active"],
    ["twice", "database", "shadowed"],
  ]);
  assert.match(String(views[2]?.reason), /a hook of this name is set in -o/u);
  assert.deepEqual(await called(node.hooks), [
    ["twice", "enforce"],
    ["other", "shadow"],
  ]);
  await node.change([{ kind: "remove", name: "twice", version: 1 }]);
  assert.deepEqual(namesOf(await node.control.list()).length, 2);
});

test("a reload keeps hooks by command", async t => {
  const node = await startNode(t);
  await node.change([put("stays", { mode: "enforce" })]);
  await (await node.hooks.prepare({ config: (await configOf(["hooks=[]"])).config })).commit();
  assert.deepEqual(await called(node.hooks), [["stays", "enforce"]]);
});

test("a plugin's own hooks go when a hook by command names it, and are back after it", async t => {
  const node = await startNode(t);
  const [own] = await node.control.list();
  assert.deepEqual([own?.origin, own?.row.mode, own?.row.plugin], ["manifest", "shadow", PLUGIN]);
  await node.change([put("mine")]);
  assert.deepEqual(namesOf(await node.control.list()), [["mine", "database", "active"]]);
  await node.change([{ kind: "remove", name: "mine", version: 1 }]);
  assert.equal((await node.control.list())[0]?.origin, "manifest");
});

test("a plugin without grants works, and the hook says so", async t => {
  const text = readFileSync(site.configFile, "utf8").replace(/^grants = .*$/mu, "");
  const configFile = join(site.dir, "bare.toml");
  writeFileSync(configFile, text);
  const node = await startNode(t, [], configFile);
  const [view] = await node.change([put("bare", { mode: "enforce" })]);
  assert.match(String(view?.notes), /^nothing is granted to plugin "com\.example/u);
  assert.deepEqual(await called(node.hooks), [["bare", "enforce"]]);
});

test("a hook whose late answers cannot count says so", async t => {
  const node = await startNode(t);
  const late = { mode: "shadow", late: "apply" };
  const notesOf = async (name: string, keys: object) => {
    const views = await node.change([put(name, { ...late, ...keys })]);
    return String(views.find(({ row }) => row.name === name)?.notes);
  };
  assert.match(
    await notesOf("kept-back", {}),
    /^late = "apply" does nothing here: it takes on_timeout = "allow"/u,
  );
  assert.match(
    await notesOf("too-short", { on_timeout: "allow", late_timeout_ms: 2000 }),
    /late_timeout_ms/u,
  );
  assert.equal(await notesOf("good", { on_timeout: "allow" }), "");
});

test("a plugin that cannot run refuses only the change that needs it: others, and weaker hooks, go through", async t => {
  const node = await startNode(t);
  const broken = put("broken", { plugin: "com.example.broken", mode: "enforce" });
  await assert.rejects(node.change([broken], ["com.example.broken"]), (error: unknown) => {
    assert.ok(error instanceof MairustError && error.code === "config_invalid");
    return true;
  });
  assert.equal((await database.db.query`select 1 as one from hooks`).length, 0);
  await node.change([broken], []);
  const stateOf = async (name: string) =>
    (await node.control.list()).find(({ row }) => row.name === name)?.state;
  assert.equal(await stateOf("broken"), "refused");
  await node.change([put("fine")]);
  await node.change([put("broken", { plugin: "com.example.broken", enabled: false }, 1)], []);
  assert.equal(await stateOf("broken"), "disabled");
});

test("a database that refuses the change leaves the hooks as they are", async t => {
  const node = await startNode(t);
  await node.change([put("first", { mode: "enforce" })]);
  await assert.rejects(node.change([put("second"), put("first", {}, 9)]), { code: "invalid_state" });
  assert.deepEqual(namesOf(await node.control.list()), [["first", "database", "active"]]);
  assert.deepEqual(await called(node.hooks), [["first", "enforce"]]);
});

test("a row that this version cannot use stops the start, but not one without plugins, where it can be removed", async t => {
  await createHookRows(database.db).apply([put("odd", { colour: "red" })]);
  await assert.rejects(startNode(t), /hook "odd", made by command: colour: unknown key.*--no-plugins/u);
  const node = await startNode(t, ["plugins.enabled=false"]);
  assert.deepEqual(namesOf(await node.control.list()), [["odd", "database", "refused"]]);
  await node.change([{ kind: "remove", name: "odd", version: 1 }], []);
  assert.deepEqual(await node.control.list(), []);
});
