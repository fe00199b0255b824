/** Transport "script, mode spawn" with real processes. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { HealthSpec, ScriptSpec } from "../../../src/core/hook-plugin.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { createScriptSpawn } from "../../../src/runtimes/script-spawn.ts";
import { createScriptWorker } from "../../../src/runtimes/script-worker.ts";
import { ask, cutOff, explanation, FIXTURE_ID, hasCode, transportConformance } from "./conformance.ts";

const folder = join(packageRoot(), "test/contract/runtimes/fixtures");
const PROGRAM = [process.execPath, "behaving-plugin.mjs"];

interface Setup {
  readonly command?: readonly string[];
  readonly mode?: "spawn" | "worker";
  readonly workers?: number;
  readonly health?: HealthSpec;
  readonly lines?: string[];
}

function specOf({ command, mode = "spawn", workers = 2, health, lines = [] }: Setup): ScriptSpec {
  return {
    kind: "script",
    mode,
    version: "1.0.0",
    pluginId: FIXTURE_ID,
    folder,
    command: command ?? [...PROGRAM, mode === "spawn" ? "spawn" : "good"],
    workers,
    health,
    onLog: line => lines.push(line),
    onLogDropped() {},
    onNotice() {},
  };
}

async function started(t: TestContext, setup: Setup = {}, waiting?: number) {
  const spec = specOf(setup);
  const transport = spec.mode === "spawn" ? createScriptSpawn(spec, waiting) : createScriptWorker(spec);
  t.after(() => transport.stop(deadlineAfter(2000)));
  await transport.start(deadlineAfter(10_000));
  return transport;
}

const shell = (script: string): readonly string[] => ["/bin/sh", "-c", script];

function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

async function dead(pid: number): Promise<boolean> {
  for (let i = 0; i < 1500 && isRunning(pid); i++) await sleep(20);
  return !isRunning(pid);
}

transportConformance("script, mode spawn", () => createScriptSpawn(specOf({})));

test("twenty lines of shell are a plugin: input until EOF, output until EOF", async t => {
  const transport = await started(t, {
    command: shell(`grep -q '"do":"bad"' && echo '{"explanation":"bad"}' || echo '{}'`),
  });
  assert.equal(await explanation(transport, "bad"), "bad");
  assert.equal(await explanation(transport, "good"), "");
  assert.equal(transport.destination, "script:/bin/sh");
});

test("a program that does not read its input is answered all the same", async t => {
  const transport = await started(t, { command: shell(`exec <&-; echo '{}'`) });
  assert.equal(Buffer.from(await ask(transport, "x", { filler: "x".repeat(1_000_000) })).toString(), "{}\n");
});

test("an exit code other than 0 voids what was written", async t => {
  const transport = await started(t, { command: shell(`echo '{}'; exit 3`) });
  await assert.rejects(ask(transport, "x"), /exit code 3/);
  const killed = await started(t, { command: shell("kill -TERM $$") });
  await assert.rejects(ask(killed, "x"), /SIGTERM/);
});

test("what a process started is killed at the deadline, and also after a good end", async t => {
  const lines: string[] = [];
  const hanging = await started(t, { lines, command: shell("sleep 600 & echo $! >&2; echo $$ >&2; wait") });
  await assert.rejects(
    cutOff(hanging, "x", () => lines.length >= 2),
    hasCode("deadline"),
  );
  assert.equal(lines.length, 2, lines.join());
  for (const pid of lines) assert.ok(await dead(Number(pid)), `process ${pid} survived`);
  lines.length = 0;
  const leaving = await started(t, { lines, command: shell("sleep 600 & echo $! >&2; echo '{}'") });
  assert.equal(await explanation(leaving, "x"), "");
  assert.equal(lines.length, 1);
  assert.ok(await dead(Number(lines[0])), "it survived a good end");
});

test("as many processes run at once as there are workers, and a bounded number of calls waits", async t => {
  const transport = await started(t, { workers: 1 }, 1);
  const running = ask(transport, "slow", { ms: 300 });
  const waiting = ask(transport, "empty");
  await assert.rejects(ask(transport, "empty"), /too many calls wait/);
  await Promise.all([running, waiting]);
  const slow = ask(transport, "slow", { ms: 1000 });
  await assert.rejects(ask(transport, "empty", {}, 100), hasCode("deadline"));
  await slow;
  assert.match(await explanation(transport, "echo"), /^\d+$/u);
});

test("a program that is missing does not start, its calls fail, and its health says so", async t => {
  const transport = createScriptSpawn(specOf({ command: ["/nonexistent/program"] }));
  t.after(() => transport.stop(deadlineAfter(1000)));
  await assert.rejects(transport.start(deadlineAfter(20_000)), /no program "\/nonexistent\/program"/);
  await assert.rejects(ask(transport, "empty"), hasCode("plugin_failed"));
  const health = await transport.health();
  assert.equal(health.status, "error");
  assert.match(health.detail ?? "", /no program/);
});

for (const mode of ["spawn", "worker"] as const) {
  test(`${mode}: health_cmd says how the plugin is, by its output or by its exit code`, async t => {
    const health = async (script: string) =>
      (await started(t, { mode, health: { kind: "command", command: shell(script), folder } })).health();
    assert.deepEqual(await health("exit 0"), { status: "ok" });
    assert.deepEqual(await health(`test -f behaving-plugin.mjs && echo '{"status":"ok"}'`), { status: "ok" });
    const degraded = await health(`echo '{"status":"degraded","details":"no model"}'`);
    assert.deepEqual(degraded, { status: "degraded", detail: "no model" });
    const failed = await health("exit 4");
    assert.equal(failed.status, "error");
    assert.match(failed.detail ?? "", /exit code 4/);
  });
}

test("a health_cmd that hangs is killed and is an error", async t => {
  const lines: string[] = [];
  const command = shell("echo $$ >&2; sleep 600");
  const transport = await started(t, { lines, health: { kind: "command", command, folder } });
  assert.equal((await transport.health()).status, "error");
  assert.ok(await dead(Number(lines[0])));
});

test("an exit code is how a call fails, and counts as no crash; a signal does", async t => {
  const crashes: string[] = [];
  for (const script of ["exit 3", "kill -SEGV $$"]) {
    const spec = { ...specOf({ command: shell(script) }), onCrash: (how: string) => crashes.push(how) };
    const transport = createScriptSpawn(spec);
    t.after(() => transport.stop(deadlineAfter(2000)));
    await transport.start(deadlineAfter(10_000));
    await assert.rejects(ask(transport, "tags"), hasCode("plugin_failed"));
  }
  assert.deepEqual(crashes, ["SIGSEGV"]);
});
