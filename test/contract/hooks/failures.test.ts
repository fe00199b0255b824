/** Real plugin processes that fail in every way, under every policy, at every point where mail waits; and one that is only slow. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { HookPlugin, ScriptSpec } from "../../../src/core/hook-plugin.ts";
import type { LateAnswer } from "../../../src/core/ports/hooks.ts";
import type { PluginTransport } from "../../../src/core/ports/plugin-transport.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { createScriptWorker } from "../../../src/runtimes/script-worker.ts";
import { awake } from "../../unit/hooks/awake.ts";
import { checkFailure, type Failure, runJudged } from "../../unit/hooks/failure-matrix.ts";
import { factsOf, theOne } from "../../unit/hooks/message.ts";
import { pluginOf, rigOf, rowOf, TAGGER } from "../../unit/hooks/rig.ts";
import { ask, FIXTURE_ID } from "../runtimes/conformance.ts";
import { rigOf as sandboxOf } from "../runtimes/sandbox/rig.ts";

const nothing = () => {};

function workerOf(folder: string, program: string, workers = 1): PluginTransport {
  const spec: ScriptSpec = {
    kind: "script",
    mode: "worker",
    pluginId: FIXTURE_ID,
    version: "1.0.0",
    folder: join(packageRoot(), "test/contract", folder, "fixtures"),
    command: [process.execPath, program],
    workers,
    onLog: nothing,
    onLogDropped: nothing,
    onNotice: nothing,
  };
  return createScriptWorker(spec);
}

const behaving = workerOf("runtimes", "behaving-plugin.mjs");
const sandbox = await sandboxOf(process.getuid?.() === 0 ? 3 : 2);
const confined = sandbox.transport(
  FIXTURE_ID,
  {
    folder: join(packageRoot(), "test/contract/runtimes/fixtures"),
    command: [process.execPath, "behaving-plugin.mjs"],
  },
  { memoryMb: 256, cpuMs: 5000 },
);
before(() => Promise.all([behaving, confined].map(one => one.start(deadlineAfter(10_000)))));
after(async () => {
  await Promise.all([behaving, confined].map(one => one.stop(deadlineAfter(5000))));
  sandbox.close();
});

function pluginWith(transport: PluginTransport, settings: HookPlugin["settings"]): HookPlugin {
  return pluginOf(FIXTURE_ID, () => ({}), TAGGER, { transport, settings });
}

/** A good call first: after failures the next process is started with a delay. */
async function recovered(plugin = behaving): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const answer = await ask(plugin, "empty").catch(() => undefined);
    if (answer !== undefined) return;
    await sleep(50);
  }
  assert.fail("the plugin does not come back");
}

type Does = (behaviour: string, settings?: HookPlugin["settings"]) => Pick<Failure, "plugin" | "before">;
const doneBy =
  (plugin: PluginTransport): Does =>
  (behaviour, settings = {}) => ({
    plugin: () => pluginWith(plugin, { do: behaviour, ...settings }),
    before: () => recovered(plugin),
  });
const SHORT = { timeout_ms: 120 };

const failuresOf = (does: Does): readonly Failure[] => [
  { name: "a hang", ...does("hang"), outcome: "timeout", row: SHORT },
  { name: "an answer after the time-out", ...does("slow", { ms: 400 }), outcome: "timeout", row: SHORT },
  { name: "a crash", ...does("crash"), outcome: "error" },
  { name: "a flood", ...does("flood"), outcome: "error" },
  { name: "a second answer", ...does("twice"), outcome: "error" },
  { name: "garbage", ...does("garbage"), outcome: "malformed" },
  { name: "what is no UTF-8", ...does("latin1"), outcome: "malformed" },
  { name: "a wrong call id", ...does("wrong_id"), outcome: "malformed" },
];

for (const [name, plugin] of [
  ["script worker", behaving],
  [`script worker in tier ${sandbox.tier}`, confined],
] as const) {
  for (const failure of failuresOf(doneBy(plugin))) {
    test(`${name}: ${failure.name} is followed by the hook's own policy and harms nobody else`, () =>
      checkFailure(failure));
  }
}

test("a program that cannot be started fails at once, by on_error", async () => {
  const missing = workerOf("runtimes", "missing.mjs");
  await assert.rejects(missing.start(deadlineAfter(10_000)));
  after(() => missing.stop(deadlineAfter(5000)));
  await checkFailure({
    name: "a program that is missing",
    plugin: () => pluginWith(missing, {}),
    outcome: "error",
  });
});

test("five crashes and the process is left alone for 30 s; then one good call brings the plugin back", async () => {
  const clock = { now: 0 };
  let good = false;
  const transport: PluginTransport = {
    start: async () => {},
    stop: async () => {},
    health: () => behaving.health(),
    destination: "",
    call: (payload, call, deadline) => {
      const request = JSON.parse(Buffer.from(payload).toString());
      request.settings.do = good ? "echo" : "crash";
      return behaving.call(Buffer.from(JSON.stringify(request)), call, deadline);
    },
  };
  await recovered();
  const rig = rigOf([pluginWith(transport, {})], [rowOf("a", { plugin: FIXTURE_ID, on_error: "allow" })], {
    steadyNow: () => clock.now,
  });
  const outcomes = async (times: number) => {
    const seen: unknown[] = [];
    for (let i = 0; i < times; i++) seen.push((await runJudged(rig, "pre_delivery")).events[0]?.data.outcome);
    return seen;
  };
  assert.deepEqual(await outcomes(7), [...Array(5).fill("error"), "circuit_open", "circuit_open"]);
  await recovered();
  good = true;
  assert.deepEqual(await outcomes(1), ["circuit_open"]);
  clock.now += 30_000;
  assert.deepEqual(await outcomes(2), ["ok", "ok"]);
});

test("late = apply: mail goes on at the time-out, and the slow process's tags are handed over", async () => {
  const slow = workerOf("hooks", "slow-tagger.mjs", 4);
  await slow.start(deadlineAfter(10_000));
  after(() => slow.stop(deadlineAfter(5000)));
  const answers: LateAnswer[] = [];
  const row = { late: "apply", on_timeout: "allow", timeout_ms: 100, late_timeout_ms: 20_000 } as const;
  const rig = rigOf(
    [pluginOf(FIXTURE_ID, () => ({}), TAGGER, { transport: slow, settings: { ms: 600 }, wallTimeMs: 50 })],
    [rowOf("a", { plugin: FIXTURE_ID, ...row })],
    { lateAnswers: async answer => void answers.push(answer) },
  );
  const late = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const facts = factsOf("Subject: x\n\nbody");
      const { events, late } = theOne(await rig.runner.run("pre_delivery", facts, deadlineAfter(10_000)));
      assert.deepEqual(
        events.map(({ data }) => data.outcome),
        ["timeout"],
      );
      return late;
    }),
  );
  await awake(Promise.all(late));
  assert.deepEqual(
    answers.map(({ changes }) => changes.tagsAdd),
    Array(8).fill(["slow"]),
  );
  assert.deepEqual(
    rig.calls.map(({ outcome }) => outcome),
    Array(8).fill("late"),
  );
});
