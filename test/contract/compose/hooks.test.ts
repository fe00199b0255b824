/** The component of plugins and hooks with real plugin processes: its start, its two-step reload, and where a plugin's words go. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { hookViews } from "../../../src/compose/hook-views.ts";
import { hooksComponent } from "../../../src/compose/hooks.ts";
import { pluginAdmin } from "../../../src/compose/plugin-admin.ts";
import { createSettings } from "../../../src/compose/settings.ts";
import { MairustError } from "../../../src/core/errors.ts";
import { loadConfig } from "../../../src/platform/config/load.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { createLog } from "../../../src/platform/log.ts";
import { createMetrics } from "../../../src/platform/metrics.ts";
import { fixedSecrets } from "../../lib/plugin-secrets.ts";
import { awake } from "../../unit/hooks/awake.ts";
import { factsOf, theOne } from "../../unit/hooks/message.ts";

const ID = "com.example.talker";
const OTHER = "com.example.other";
const MANIFEST = `id = "${ID}"
name = "Talker"
version = "1.0.0"
[entry]
type = "hook"
protocol = "script"
command = ["node", "main.mjs"]
[hooks]
on = ["pre_delivery"]
[permissions]
read_headers = ["Subject"]
write_tags = true
decide = ["reject"]
`;
/** Leaves a file with its process id in `pids`, and says all it knows: to its log, and in its answer. */
const PROGRAM = `
import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
mkdirSync("pids", { recursive: true });
writeFileSync("pids/" + process.pid, "");
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.mairust) {
    console.log(JSON.stringify({ mairust: 1, plugin: "${ID}", version: "1.0.0", api: ["1"] }));
    continue;
  }
  const subject = request.headers?.[0]?.value;
  console.error("subject is " + subject);
  if (request.settings.answer === "slow") await new Promise(done => setTimeout(done, 300));
  const answers = {
    slow: { tags: { add: [request.settings.tag + "-" + request.context.tags.length] } },
    tag: { tags: { add: [request.settings.tag] } },
    reject: { action: "reject", reason: subject },
    wrong: { action: subject, explanation: subject },
    beyond: { folder: subject, tags: { add: [subject + " \\u0000"] } },
  };
  console.log(JSON.stringify({ call_id: request.call_id, ...answers[request.settings.answer] }));
}
`;

interface Change {
  readonly manifest?: string;
  readonly answer?: string;
  readonly tag?: string;
  readonly plugins?: string;
  /** More of its program: another one, that does the same. */
  readonly code?: string;
  /** More of the configuration. */
  readonly more?: string;
}

interface Rig {
  readonly dir: string;
  readonly lines: string[];
  readonly hooks: ReturnType<typeof hooksComponent>;
  readonly metrics: ReturnType<typeof createMetrics>;
  configOf(change?: Change): Promise<Awaited<ReturnType<typeof loadConfig>>>;
  /** Ids of plugin processes that live. */
  pids(): readonly string[];
  tags(): Promise<readonly string[]>;
}

/** Without a sandbox nothing holds its network. */
const BEYOND = `allow_unsandboxed = ["${ID}", "${OTHER}"]\nrequire_limits = ["network"]`;

async function rigOf(t: TestContext, change: Change = {}): Promise<Rig> {
  const dir = mkdtempSync(join(tmpdir(), "mairust-hooks-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const folder = join(dir, "plugins", ID);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "main.mjs"), PROGRAM);
  let files = 0;
  const configOf = async ({
    manifest = MANIFEST,
    answer = "tag",
    tag = "old",
    plugins,
    code,
    more,
  }: Change = {}) => {
    if (code !== undefined) writeFileSync(join(folder, "main.mjs"), `${PROGRAM}${code}`);
    const settings = `[settings.answer]\ntype = "string"\n[settings.tag]\ntype = "string"\n`;
    writeFileSync(join(folder, "plugin.toml"), `${manifest}${settings}`);
    const configFile = join(dir, `mairust${files++}.toml`);
    writeFileSync(
      configFile,
      `log_dir = ${JSON.stringify(join(dir, "log"))}
[plugins]
folders = [${JSON.stringify(join(dir, "plugins"))}]
allow_unsigned = ["${ID}", "${OTHER}"]
${plugins ?? `allow_unsandboxed = ["${ID}", "${OTHER}"]`}
[plugin."${ID}"]
grants = { read_headers = ["Subject"], write_tags = true, decide = ["reject"] }
settings = { answer = "${answer}", tag = "${tag}" }
[[hooks]]
name = "talk"
point = "pre_delivery"
plugin = "${ID}"
mode = "enforce"
timeout_ms = 5000
${more ?? ""}
`,
    );
    return loadConfig({ configFile, env: {} });
  };
  const lines: string[] = [];
  const log = createLog({
    level: "debug",
    format: "json",
    hash_addresses: false,
    write: line => lines.push(line),
  });
  const metrics = createMetrics({ process: false });
  const hooks = hooksComponent({
    secrets: fixedSecrets,
    settings: createSettings(await configOf(change)),
    log,
    metrics,
    version: "0.3.0",
  });
  await hooks.component.init();
  await hooks.component.start();
  t.after(async () => {
    if (hooks.component.state === "running") await hooks.component.stop(deadlineAfter(20_000));
  });
  return {
    dir,
    lines,
    hooks,
    metrics,
    configOf,
    pids: () => {
      const made = join(folder, "pids");
      return existsSync(made) ? readdirSync(made).filter(pid => existsSync(`/proc/${pid}`)) : [];
    },
    tags: async () => (await runChain(hooks)).tags,
  };
}

async function runChain(hooks: Rig["hooks"], subject = "hello") {
  const deadline = deadlineAfter(60_000);
  try {
    const facts = factsOf(`Subject: ${subject}\n\nbody`);
    return theOne(await awake(hooks.runner.run("pre_delivery", facts, deadline)));
  } finally {
    deadline.dispose();
  }
}

/** Waits until the spare of each worker is there too. */
async function settled(rig: Rig): Promise<readonly string[]> {
  const end = performance.now() + 60_000;
  while (rig.pids().length !== 2 && performance.now() < end) await new Promise(done => setTimeout(done, 20));
  return rig.pids();
}

const refusal = (problem: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MairustError && error.code === "config_invalid", String(error));
  assert.match(String(error.context.problems), problem);
  return true;
};

test("prepare() and commit() exchange plugins; prepare() and abort() leave everything as it was", async t => {
  const rig = await rigOf(t);
  const before = await settled(rig);
  const given = await rig.configOf({ tag: "new", code: "// new" });
  const prepared = await rig.hooks.prepare(given);
  assert.ok(rig.pids().length > before.length);
  assert.deepEqual(await rig.tags(), ["old"]);
  await prepared.abort();
  assert.deepEqual([...(await settled(rig))].sort(), [...before].sort());
  assert.deepEqual(await rig.tags(), ["old"]);
  await (await rig.hooks.prepare(given)).commit();
  assert.deepEqual(await rig.tags(), ["new"]);
  const after = await settled(rig);
  assert.ok(
    before.every(pid => !after.includes(pid)),
    "an old process is left",
  );
});

test("a chain that runs while plugins are exchanged goes on to its end with those it began with", async t => {
  const again = `[[hooks]]\nname = "talk2"\npoint = "pre_delivery"\nplugin = "${ID}"\nmode = "enforce"\ntimeout_ms = 5000\n`;
  const more = `${again}on_error = "reject"\n${again.replace("talk2", "talk3").replace('"enforce"', '"shadow"')}`;
  const rig = await rigOf(t, { answer: "slow", more });
  const before = await settled(rig);
  const prepared = await rig.hooks.prepare(await rig.configOf({ tag: "new", code: "// new" }));
  const running = runChain(rig.hooks);
  await prepared.commit();
  const { action, tags, late } = await running;
  assert.deepEqual([action, tags], ["deliver", ["old-0", "old-1"]]);
  // Also what the decision did not wait for.
  assert.deepEqual(
    (await late)?.map(({ data }) => [data.hook, data.outcome]),
    [["talk3", "ok"]],
  );
  const after = await settled(rig);
  assert.deepEqual([before.filter(pid => after.includes(pid)), await rig.tags()], [[], ["new"]]);
});

test("what cannot be used is refused with its problems, and leaves no process", async t => {
  const rig = await rigOf(t);
  const before = [...(await settled(rig))].sort();
  const bad: ReadonlyArray<readonly [Change, RegExp]> = [
    [{ plugins: BEYOND }, /plugins\.require_limits asks for "network"/],
    [{ manifest: MANIFEST.replace("main.mjs", "missing.mjs") }, new RegExp(`"${ID}"`)],
    [{ manifest: "nonsense" }, /there is none in plugins\.folders/],
  ];
  for (const [change, problem] of bad) {
    const given = await rig.configOf(change);
    await assert.rejects(rig.hooks.prepare(given), refusal(problem));
    assert.deepEqual([...(await settled(rig))].sort(), before);
  }
  assert.deepEqual(await rig.tags(), ["old"]);
});

test("a change that does not touch a plugin's code keeps its processes, also over a reload; other code exchanges them", async t => {
  const rig = await rigOf(t);
  const before = [...(await settled(rig))].sort();
  await (await rig.hooks.prepare(await rig.configOf({ tag: "other" }))).commit();
  assert.deepEqual([[...(await settled(rig))].sort(), await rig.tags()], [before, ["other"]]);
  await (await rig.hooks.prepare(await rig.configOf({ code: "// changed" }))).commit();
  const after = await settled(rig);
  assert.deepEqual([before.filter(pid => after.includes(pid)), await rig.tags()], [[], ["old"]]);
});

test("a hook for one plugin does not touch another, whatever became of that one's files meanwhile", async t => {
  const rig = await rigOf(t);
  const before = [...(await settled(rig))].sort();
  writeFileSync(join(rig.dir, "plugins", ID, "main.mjs"), "process.exit(1);");
  for (const needs of [new Set(["com.example.another"]), new Set<string>()]) {
    await (await rig.hooks.prepare({ needs })).commit();
    assert.deepEqual([[...(await settled(rig))].sort(), await rig.tags()], [before, ["old"]]);
  }
  await assert.rejects(rig.hooks.prepare({ rereads: () => true }), refusal(new RegExp(ID)));
  assert.deepEqual([[...(await settled(rig))].sort(), await rig.tags()], [before, ["old"]]);
});

test("hooks that do not compile are refused before any plugin is started", async t => {
  const rig = await rigOf(t);
  const before = [...(await settled(rig))].sort();
  const made = () => readdirSync(join(rig.dir, "plugins", ID, "pids")).length;
  const started = made();
  const { config } = await rig.configOf();
  const twice = { ...config, hooks: [...config.hooks, ...config.hooks] };
  await assert.rejects(rig.hooks.prepare({ config: twice }), refusal(/hook "talk": the name is taken/));
  assert.deepEqual([[...rig.pids()].sort(), made()], [before, started]);
});

test("where one plugin does not start, those that did are ended again", async t => {
  const rig = await rigOf(t);
  const before = [...(await settled(rig))].sort();
  const folder = join(rig.dir, "plugins", OTHER);
  mkdirSync(folder);
  writeFileSync(join(folder, "plugin.toml"), MANIFEST.replace(ID, OTHER).replace("main.mjs", "missing.mjs"));
  const more = `[[hooks]]\nname = "other"\npoint = "pre_delivery"\nplugin = "${OTHER}"\nmode = "enforce"\n`;
  const given = await rig.configOf({ more });
  await assert.rejects(rig.hooks.prepare(given), refusal(/com\.example\.other/));
  assert.deepEqual([...(await settled(rig))].sort(), before);
});

test("what was prepared and not committed ends with the service", async t => {
  const rig = await rigOf(t);
  await settled(rig);
  await rig.hooks.prepare(await rig.configOf({ tag: "new" }));
  await rig.hooks.component.stop(deadlineAfter(20_000));
  assert.deepEqual(rig.pids(), []);
});

test("a start goes on without a refused plugin: mail is deferred, the log and the health say why", async t => {
  const rig = await rigOf(t, { plugins: BEYOND });
  const decision = await runChain(rig.hooks);
  assert.equal(decision.action, "tempfail");
  const problem = String(decision.events[0]?.data.problem);
  assert.match(problem, /^Cannot call plugin "com\.example\.talker": plugins\.require_limits asks for/);
  assert.ok(rig.lines.some(line => /"level":"error".*plugin_start_failed/.test(line)));
  const { status, detail } = await rig.hooks.component.health();
  assert.equal(status, "degraded");
  assert.match(detail ?? "", /com\.example\.talker: .*require_limits/);
});

test("a plugin that fails again and again: one alarm, a degraded health that names it, a metric; other code closes it", async t => {
  const rig = await rigOf(t, { answer: "wrong" });
  const circuit = async () => /^mairust_plugin_circuit_state\S* (\d)$/m.exec(await rig.metrics.render())?.[1];
  assert.equal(await circuit(), "0");
  for (let i = 0; i < 8; i++) assert.equal((await runChain(rig.hooks)).action, "tempfail");
  assert.equal(await circuit(), "2");
  const { status, detail } = await rig.hooks.component.health();
  assert.equal(status, "degraded");
  assert.match(detail ?? "", /com\.example\.talker: not called, it failed too often: action is none of/);
  const inUse = rig.hooks.inUse();
  assert.ok(inUse);
  const broken = rig.hooks.brokenCircuits();
  const [view] = await hookViews({ inUse, origins: new Map(), calls: new Map(), diffs: new Map(), broken });
  const plugin = pluginAdmin(rig.hooks, fixedSecrets, () => "/nowhere")
    .list()
    .find(({ id }) => id === ID);
  assert.deepEqual([view?.state, plugin?.state, view?.reason], ["circuit_open", "enabled", plugin?.reason]);
  assert.match(view?.reason ?? "", /^not called, it failed too often: action is none of/);
  const alarms = rig.lines.filter(line => line.includes("plugin_circuit_open"));
  assert.equal(alarms.length, 1);
  assert.match(alarms[0] ?? "", /"level":"error".*"plugin":"com\.example\.talker"/);
  const calls = /^mairust_hook_calls_total\{.*outcome="(\w+)"\} (\d)$/gm;
  const counted = Array.from((await rig.metrics.render()).matchAll(calls), ([, ...pair]) => pair);
  assert.deepEqual(counted, [
    ["malformed", "5"],
    ["circuit_open", "3"],
  ]);
  await (await rig.hooks.prepare(await rig.configOf({ answer: "wrong" }))).commit();
  assert.equal(await circuit(), "2");
  await (await rig.hooks.prepare(await rig.configOf({ code: "// mended" }))).commit();
  assert.deepEqual([await circuit(), await rig.tags()], ["0", ["old"]]);
  assert.ok(!(await rig.hooks.component.health()).detail?.includes("not called"));
});

test("a subject that a plugin repeats everywhere is in its own log file, and never in the log of the service", async t => {
  for (const answer of ["tag", "reject", "wrong", "beyond"]) {
    const rig = await rigOf(t, { answer });
    await runChain(rig.hooks, `CANARY ${answer}`);
    await rig.hooks.component.stop(deadlineAfter(20_000));
    const file = readFileSync(join(rig.dir, "log/plugins", `${ID}.log`), "utf8");
    assert.match(file, new RegExp(`^\\S+Z subject is CANARY ${answer}\n$`));
    assert.ok(rig.lines.length > 0 && !rig.lines.join().includes("CANARY"), rig.lines.join(""));
  }
});

test("a log folder that cannot be made stops nothing: one error, and a count", async t => {
  const rig = await rigOf(t);
  writeFileSync(join(rig.dir, "log"), "");
  for (let i = 0; i < 5; i++) assert.deepEqual(await rig.tags(), ["old"]);
  await rig.hooks.component.stop(deadlineAfter(20_000));
  const of = (event: string) => rig.lines.filter(line => line.includes(event)).map(line => JSON.parse(line));
  assert.equal(of("plugin_log_failed").length, 1);
  assert.equal(
    of("plugin_log_dropped").reduce((sum, { lines }) => sum + lines, 0),
    5,
  );
});
