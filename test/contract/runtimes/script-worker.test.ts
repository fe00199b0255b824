import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import type { ScriptSpec } from "../../../src/core/hook-plugin.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import {
  createScriptWorker,
  SCRIPT_WORKER_LIMITS,
  type ScriptWorkerLimits,
} from "../../../src/runtimes/script-worker.ts";
import { ask, explanation, FIXTURE_ID, hasCode, transportConformance } from "./conformance.ts";

const folder = join(packageRoot(), "test/contract/runtimes/fixtures");

interface Seen {
  readonly lines: string[];
  readonly notices: string[];
  dropped: number;
}

function specOf(mode: string, workers: number, seen: Seen): ScriptSpec {
  return {
    kind: "script",
    mode: "worker",
    version: "1.0.0",
    pluginId: FIXTURE_ID,
    folder,
    command: [process.execPath, "behaving-plugin.mjs", mode],
    workers,
    onLog: line => seen.lines.push(line),
    onLogDropped: lines => {
      seen.dropped += lines;
    },
    onNotice: text => seen.notices.push(text),
  };
}

const newSeen = (): Seen => ({ lines: [], notices: [], dropped: 0 });

/** A started worker that ends with the test. */
async function started(
  t: TestContext,
  options: { workers?: number; mode?: string; limits?: Partial<ScriptWorkerLimits> } = {},
) {
  const seen = newSeen();
  const limits = { ...SCRIPT_WORKER_LIMITS, ...options.limits };
  const transport = createScriptWorker(specOf(options.mode ?? "good", options.workers ?? 1, seen), limits);
  t.after(() => transport.stop(deadlineAfter(2000)));
  await transport.start(deadlineAfter(30_000));
  return { transport, seen };
}

function isRunning(pid: number): boolean {
  // A zombie still has a folder in /proc: its state says so.
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** Reaped by us: not even a zombie is left. */
async function gone(pid: number): Promise<boolean> {
  for (let i = 0; i < 1500 && existsSync(`/proc/${pid}`); i++) await sleep(20);
  return !existsSync(`/proc/${pid}`);
}

/** Dead. Processes that are not our children are reaped by the init of the machine, where it does that. */
async function dead(pid: number): Promise<boolean> {
  for (let i = 0; i < 1500 && isRunning(pid); i++) await sleep(20);
  return !isRunning(pid);
}

transportConformance("script worker", () => createScriptWorker(specOf("good", 1, newSeen())));

test("the environment holds exactly six variables, and its home is not its code", async t => {
  const { transport } = await started(t);
  process.env.MAIRUST_TEST_CANARY = "secret";
  after(() => {
    delete process.env.MAIRUST_TEST_CANARY;
  });
  const env: unknown = JSON.parse(await explanation(transport, "env"));
  const names = ["HOME", "LANG", "MAIRUST_PLUGIN_ID", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR"];
  assert.deepEqual(Object.keys(env ?? {}).sort(), names);
  assert.equal((env as Readonly<Record<string, string>>).HOME, "/nonexistent");
});

test("the process runs in the plugin's folder and inherits no file of the service", async t => {
  const canary = openSync(join(folder, "behaving-plugin.mjs"), "r");
  const { transport } = await started(t);
  const seen = await explanation(transport, "files");
  closeSync(canary);
  assert.equal(JSON.parse(seen).cwd, folder);
  assert.ok(!seen.includes("behaving-plugin.mjs"), seen);
});

test("a hang is killed with everything it started", async t => {
  const { transport } = await started(t);
  const grandchild = Number(await explanation(transport, "child"));
  const leader = Number(await explanation(transport, "pid"));
  assert.ok(isRunning(grandchild));
  await assert.rejects(ask(transport, "hang", {}, 100), hasCode("deadline"));
  assert.ok(await gone(leader), "the leader is a zombie or alive");
  assert.ok(await dead(grandchild), "the grandchild survived");
});

test("stop() leaves no process, not even a zombie", async t => {
  const { transport } = await started(t, { workers: 3 });
  const answers = await Promise.all([0, 1, 2].map(() => explanation(transport, "slow", { ms: 100 })));
  const grandchild = Number(await explanation(transport, "child"));
  await transport.stop(deadlineAfter(2000));
  for (const pid of answers.map(Number)) assert.ok(await gone(pid), `process ${pid} is left`);
  assert.ok(await dead(grandchild), "the grandchild is left");
});

test("as many calls run at once as there are workers, and waiting counts towards the time", async t => {
  const { transport } = await started(t, { workers: 2 });
  await sleep(300);
  let isOver = false;
  const first = [explanation(transport, "slow", { ms: 300 }), explanation(transport, "slow", { ms: 300 })];
  for (const one of first) one.then(() => (isOver = true));
  await assert.rejects(ask(transport, "empty", {}, 100), hasCode("deadline"));
  assert.ok(!isOver, "it waited for the calls before it");
  const pids = await Promise.all(first);
  assert.notEqual(pids[0], pids[1]);
});

test("too many waiting calls fail at once", async t => {
  const { transport } = await started(t, { limits: { waiting: 1 } });
  const busy = [ask(transport, "slow", { ms: 200 }), ask(transport, "empty")];
  await assert.rejects(ask(transport, "empty"), hasCode("plugin_failed"));
  await Promise.all(busy);
});

test("a process is recycled after its calls, and the spare takes over without a wait", async t => {
  const { transport, seen } = await started(t, { limits: { callsPerProcess: 3 } });
  await sleep(300);
  const pids = new Set<string>();
  for (let i = 0; i < 9; i++) pids.add(await explanation(transport, "pid"));
  assert.ok(pids.size >= 3, `${pids.size} processes`);
  assert.deepEqual(seen.notices, []);
});

test("a process is recycled when it is old", async t => {
  const { transport } = await started(t, { limits: { processAgeMs: 50 } });
  const first = await explanation(transport, "pid");
  await sleep(100);
  assert.notEqual(await explanation(transport, "pid"), first);
  // A spare that has just come may have taken that call: the old one goes when its turn comes.
  for (let i = 0; i < 500 && existsSync(`/proc/${first}`); i++) {
    await ask(transport, "empty");
    await sleep(20);
  }
  assert.ok(await gone(Number(first)));
});

test("a line that nobody asked for ends the process", async t => {
  const { transport, seen } = await started(t);
  await ask(transport, "again");
  while (seen.notices.length === 0) await sleep(10);
  assert.equal(seen.notices.length, 1);
  assert.match(seen.notices[0] ?? "", /nobody asked for/);
  await ask(transport, "empty");
});

test("the start of a second answer ends the process, before the rest can be taken for the next answer", async t => {
  const { transport, seen } = await started(t);
  const first = await explanation(transport, "pid");
  await ask(transport, "tail");
  while (seen.notices.length === 0) await sleep(10);
  const second = await explanation(transport, "slow", { ms: 300 });
  assert.notEqual(second, "", "the answer was another one's");
  assert.notEqual(second, first);
  assert.match(seen.notices[0] ?? "", /nobody asked for/);
  await assert.rejects(ask(transport, "tail_at_once"), hasCode("plugin_failed"));
  assert.notEqual(await explanation(transport, "slow", { ms: 300 }), second);
});

test("no text names the plugin twice", async t => {
  const { transport, seen } = await started(t, {
    limits: { backOffMs: failures => (failures > 0 ? 300 : 0) },
  });
  const texts: string[] = [];
  const isDown = () => texts.some(text => text.includes("no process runs"));
  const behaviours = ["again", "twice", "crash", "full", "empty", "empty"];
  for (let i = 0; i < behaviours.length || (!isDown() && i < 60); i++) {
    // On a slow machine a pause may be over before the next call comes: then more crashes.
    const behaviour = behaviours[i] ?? "crash";
    try {
      await ask(transport, behaviour, { bytes: 1024 * 1024 });
    } catch (error) {
      texts.push(error instanceof Error ? error.message : "");
    }
    await sleep(100);
  }
  texts.push((await transport.health()).detail ?? "", ...seen.notices);
  assert.ok(isDown(), texts.join("\n"));
  for (const text of texts) assert.ok(text.split(FIXTURE_ID).length <= 2, text);
  for (const notice of seen.notices) assert.ok(!notice.includes("Cannot call"), notice);
});

test("a plugin that keeps crashing is started again with a growing pause, and calls in between fail at once", async t => {
  const delays: number[] = [];
  const backOffMs = (failures: number) => {
    const delay = SCRIPT_WORKER_LIMITS.backOffMs(failures);
    delays.push(delay);
    return Math.min(delay, 300);
  };
  const { transport } = await started(t, { limits: { backOffMs } });
  await sleep(300);
  const failed = () => ask(transport, "empty").then(() => undefined, String);
  let failure: string | undefined;
  // On a slow machine a pause may be over before the call comes: then once more.
  for (let i = 0; i < 20 && failure === undefined; i++) {
    for (let j = 0; j < 3; j++) await ask(transport, "crash").catch(() => {});
    failure = await failed();
  }
  assert.match(failure ?? "", /no process runs/u, "it waited for the next process");
  assert.ok(delays.includes(0) && delays.includes(1000), delays.join());
  for (let i = 0; i < 200 && (await failed()) !== undefined; i++) await sleep(50);
  await ask(transport, "empty");
});

test("the pause grows to a minute", () => {
  const delays = [0, 1, 2, 3, 4, 7, 8, 9, 1000].map(SCRIPT_WORKER_LIMITS.backOffMs);
  assert.deepEqual(delays, [0, 0, 1000, 2000, 4000, 32_000, 60_000, 60_000, 60_000]);
});

for (const [mode, why] of [
  ["rude", "its first line is not"],
  ["other", "another plugin"],
  ["old", "does not speak api"],
  ["dead", "exit code 7"],
] as const) {
  test(`a plugin that is ${mode} at the handshake does not start`, async t => {
    const seen = newSeen();
    const transport = createScriptWorker(specOf(mode, 1, seen));
    t.after(() => transport.stop(deadlineAfter(1000)));
    await assert.rejects(transport.start(deadlineAfter(20_000)), new RegExp(why));
    assert.equal((await transport.health()).status, "error");
  });
}

test("a plugin that does not answer the handshake is given up", async () => {
  const transport = createScriptWorker(specOf("silent", 1, newSeen()));
  await assert.rejects(transport.start(deadlineAfter(300)), hasCode("deadline"));
  await transport.stop(deadlineAfter(1000));
});

test("a program that is missing does not start", async () => {
  const seen = newSeen();
  const transport = createScriptWorker({ ...specOf("good", 1, seen), command: ["/nonexistent/program"] });
  await assert.rejects(transport.start(deadlineAfter(20_000)), hasCode("plugin_failed"));
  await transport.stop(deadlineAfter(1000));
});

test("stderr is handed on line by line, cut, made visible, and a flood is dropped and counted", async t => {
  const { transport, seen } = await started(t);
  await ask(transport, "log", { lines: 10 });
  while (seen.lines.length < 11) await sleep(10);
  assert.equal(seen.lines[0], "line 0");
  assert.ok(seen.lines.at(-1)?.startsWith("\\u{1b}[31mred\\u{2028}yyy"));
  assert.ok((seen.lines.at(-1)?.length ?? 0) < 4200);
  await ask(transport, "log", { lines: 1000 });
  await transport.stop(deadlineAfter(2000));
  assert.ok(seen.lines.length <= 200, `${seen.lines.length} lines`);
  assert.ok(seen.dropped > 700, `${seen.dropped} dropped`);
});

test("health passes on what the plugin says", async t => {
  const { transport } = await started(t, { mode: "ill" });
  assert.deepEqual(await transport.health(), { status: "degraded", detail: "no model" });
});

test("the plugin dies with the service, also when that is killed", async () => {
  const script = join(packageRoot(), "test/contract/runtimes/fixtures/host.ts");
  const host = spawn(process.execPath, ["--import", "tsx", script, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const pid = await new Promise<number>((resolve, reject) => {
    host.stdout.once("data", (text: Buffer) => resolve(Number(text.toString())));
    host.once("exit", code => reject(new Error(`the service ended: ${code}`)));
  });
  assert.ok(isRunning(pid));
  host.kill("SIGKILL");
  assert.ok(await dead(pid), "the plugin survived");
});

test("the question how it is goes to the spare: the only worker's next call does not wait for the answer", async t => {
  const { transport } = await started(t, { mode: "drowsy" });
  let first = "";
  // Until the spare is there the question takes the worker's turn.
  for (let i = 0; i < 20 && first !== "call"; i++) {
    first = "";
    const health = transport.health().then(({ status }) => {
      first ||= "health";
      return status;
    });
    await ask(transport, "empty");
    first ||= "call";
    assert.equal(await health, "ok");
  }
  assert.equal(first, "call");
});
