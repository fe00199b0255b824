/** Bypass, budgets, caps and demotion in the chain: what they keep from happening, and what mail meets then. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HookPlugin } from "../../../src/core/hook-plugin.ts";
import type { Demotion } from "../../../src/core/ports/hook-guard.ts";
import type { HookDecision, HookPoint, MessageFacts } from "../../../src/core/ports/hooks.ts";
import type { TimelineEvent } from "../../../src/core/ports/timeline.ts";
import { type GuardOptions, HookGuard } from "../../../src/hooks/guard.ts";
import { compileHooks, type HookRow } from "../../../src/hooks/hook-set.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { DEMOTE_DEFAULTS } from "../../../src/wire/config/hooks.ts";
import { awake } from "./awake.ts";
import { factsOf } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, type Rig, rigOf, rowOf } from "./rig.ts";
import { hang } from "./run-chain.ts";

const HOUR_MS = 3_600_000;

interface GuardedRig extends Rig {
  readonly guard: HookGuard;
  readonly clock: { ms: number };
  readonly told: string[];
  readonly demoted: Demotion[];
  run(facts?: Partial<MessageFacts>, point?: HookPoint): Promise<Ran>;
}

interface Ran {
  readonly decision: HookDecision;
  readonly events: readonly TimelineEvent[];
  readonly failed: boolean;
}

function guarded(
  behave: Behaviour | Readonly<Record<string, Behaviour>>,
  rows: readonly HookRow[],
  change: Partial<HookPlugin> = {},
): GuardedRig {
  const clock = { ms: Date.parse("2026-03-01T12:00:00Z") };
  const told: string[] = [];
  const demoted: Demotion[] = [];
  const options: GuardOptions = {
    now: () => new Date(clock.ms),
    steadyNow: () => clock.ms,
    onDemotion: demotion => demoted.push(demotion),
    onCap: ({ plugin, item, cap }) => told.push(`cap ${plugin} ${item} ${cap}`),
    onBudget: ({ plugin, text }) => told.push(`budget ${plugin} ${text}`),
    onUsage: sample => told.push(`usage ${sample.inputTokens}+${sample.outputTokens} ${sample.costUsd}`),
    onDenied: ({ hook, item, why }) => told.push(`denied ${hook} ${item} ${why}`),
    onCompared: () => undefined,
  };
  const guard = new HookGuard(options);
  const behaviours = typeof behave === "function" ? { a: behave } : behave;
  const grants = { ...EVERYTHING, decide: ["reject" as const, "tempfail" as const, "hold" as const] };
  const plugins = Object.entries(behaviours).map(([id, one]) => pluginOf(id, one, grants, change));
  const rig = rigOf(plugins, rows, { guard });
  return {
    ...rig,
    guard,
    clock,
    told,
    demoted,
    async run(facts = {}, point = "pre_delivery") {
      const deadline = deadlineAfter(5000);
      const source = `Message-ID: <${Math.random()}@x.example>\n\nbody`;
      const ran = await awake(rig.runner.run(point, factsOf(source, facts), deadline));
      const late = (await awake(ran.late ?? Promise.resolve([]))) ?? [];
      deadline.dispose();
      const [decision] = ran.each.values();
      assert.ok(decision);
      return { decision, events: [...ran.events, ...late], failed: ran.failed !== undefined };
    },
  };
}

const outcomes = ({ events }: Ran) => events.map(({ data }) => data.outcome);
const refuse: Behaviour = () => ({ action: "reject", tags: { add: ["bad"] } });

test("a bypassed hook is not called: mail passes marked, the timeline says why, and it ends by itself", async () => {
  let calls = 0;
  const rig = guarded(() => {
    calls++;
    return { action: "reject" };
  }, [rowOf("a"), rowOf("b", { plugin: "a", point: "post_receive" })]);
  const until = new Date(rig.clock.ms + HOUR_MS);
  rig.guard.setBypasses([{ plugin: undefined, until, by: "local:root", at: new Date(rig.clock.ms) }]);
  const passed = await rig.run();
  assert.equal(passed.decision.action, "deliver");
  assert.deepEqual(passed.decision.headers, [["X-MaiRust-Skipped", "a"]]);
  assert.deepEqual(passed.decision.tags, ["mairust:unchecked"]);
  assert.deepEqual(outcomes(passed), ["bypassed"]);
  assert.match(String(passed.events[0]?.data.problem), /until 2026-03-01T13:00:00\.000Z, by local:root/u);
  // After the commit: no retry until it is over, either.
  const stored = await rig.run({}, "post_receive");
  assert.deepEqual([stored.failed, stored.decision.tags], [false, ["mairust:unchecked"]]);
  assert.equal(calls, 0);
  rig.clock.ms += HOUR_MS;
  assert.equal((await rig.run()).decision.action, "reject");
});

test("a bypass of one plugin leaves the others alone, and works for one that is broken", async () => {
  const rig = guarded({ a: refuse, b: () => ({ tags: { add: ["b"] } }) }, [rowOf("a"), rowOf("b")], {
    transport: undefined,
    failure: "it is refused",
  });
  assert.equal((await rig.run()).decision.action, "tempfail");
  rig.guard.setBypasses([{ plugin: "a", until: undefined, by: "x", at: new Date(rig.clock.ms) }]);
  assert.deepEqual(outcomes(await rig.run()), ["bypassed", "error"]);
});

test("over a cap the decision becomes deliver, the rest of the answer counts, and it is told once", async () => {
  const rig = guarded(refuse, [rowOf("a"), rowOf("b", { plugin: "a", point: "pre_receive" })], {
    caps: { reject: 2 },
  });
  assert.equal((await rig.run()).decision.action, "reject");
  // Over hooks and points.
  assert.equal((await rig.run({}, "pre_receive")).decision.action, "reject");
  const third = await rig.run();
  assert.deepEqual([third.decision.action, third.decision.tags], ["deliver", ["bad"]]);
  assert.match(JSON.stringify(third.events[0]?.data.denied), /reject is over its cap of 2 in an hour/u);
  await rig.run();
  assert.deepEqual(rig.told, ["cap a reject 2"]);
  assert.deepEqual(rig.denied, ["a action", "a action"]);
  rig.clock.ms += HOUR_MS / 2;
  assert.equal((await rig.run()).decision.action, "deliver");
  rig.clock.ms += HOUR_MS / 2 + 60_000;
  assert.equal((await rig.run()).decision.action, "reject");
});

test("moves have a cap of their own, also after the commit; a call in shadow uses none", async () => {
  const rig = guarded(
    () => ({ folder: "Junk", tags: { add: ["x"] } }),
    [rowOf("a", { point: "post_receive" }), rowOf("s", { plugin: "a", mode: "shadow" })],
    { caps: { move: 1 } },
  );
  await rig.run();
  const [first, second] = [await rig.run({}, "post_receive"), await rig.run({}, "post_receive")];
  assert.deepEqual([first.decision.folder, second.decision.folder], ["Junk", undefined]);
  assert.deepEqual(second.decision.tags, ["x"]);
});

test("a cap of 0 lets nothing pass, and a failure policy is no action of the plugin", async () => {
  const none = guarded(refuse, [rowOf("a")], { caps: { reject: 0 } });
  assert.equal((await none.run()).decision.action, "deliver");
  const failing = guarded(() => "garbage", [rowOf("a", { on_error: "reject" })], { caps: { reject: 0 } });
  assert.equal((await failing.run()).decision.action, "reject");
});

for (const [overBudget, action, again] of [
  ["skip", "deliver", false],
  ["defer", "tempfail", true],
  ["error", "hold", true],
] as const) {
  test(`over budget with "${overBudget}": mail meets ${action}, and the next day the plugin is called again`, async () => {
    const rig = guarded(
      () => ({}),
      [rowOf("a", { on_error: "hold" }), rowOf("b", { plugin: "a", point: "post_receive" })],
      {
        budget: { concurrency: undefined, callsPerDay: 2, tokensPerDay: undefined, overBudget },
      },
    );
    await rig.run();
    await rig.run();
    const over = await rig.run();
    assert.deepEqual([outcomes(over), over.decision.action], [["over_budget"], action]);
    assert.equal(over.decision.tags.includes("mairust:unchecked"), overBudget === "skip");
    assert.equal((await rig.run({}, "post_receive")).failed, again);
    assert.deepEqual(rig.told, ["budget a its 2 calls of the day are used up"]);
    rig.clock.ms += 12 * HOUR_MS;
    assert.deepEqual(outcomes(await rig.run()), ["ok"]);
  });
}

test("tokens count as the plugin reports them, nonsense is bounded, cost is recorded", async () => {
  const usage = { input_tokens: 60, output_tokens: 40, cost_usd: 0.5 };
  const rig = guarded(() => ({ usage }), [rowOf("a")], {
    budget: { concurrency: undefined, callsPerDay: undefined, tokensPerDay: 150, overBudget: "skip" },
  });
  assert.deepEqual(outcomes(await rig.run()), ["ok"]);
  assert.deepEqual(outcomes(await rig.run()), ["ok"]);
  assert.deepEqual(outcomes(await rig.run()), ["over_budget"]);
  assert.equal(rig.told[0], "usage 60+40 0.5");
  const mad = guarded(() => '{"usage":{"input_tokens":1e999,"cost_usd":1e300}}', [rowOf("a")]);
  await mad.run();
  assert.deepEqual(mad.told, ["usage 1000000000+0 1000000000"]);
});

test("calls beyond the concurrency wait within their time", async () => {
  const budget = {
    concurrency: 1,
    callsPerDay: undefined,
    tokensPerDay: undefined,
    overBudget: "skip",
  } as const;
  let running = 0;
  let most = 0;
  const rig = guarded(
    async () => {
      most = Math.max(most, ++running);
      await new Promise(resolve => setImmediate(resolve));
      running--;
      return {};
    },
    [rowOf("a")],
    { budget },
  );
  await Promise.all(Array.from({ length: 8 }, () => rig.run()));
  assert.equal(most, 1);
  const rows = [
    rowOf("a", { timeout_ms: 300 }),
    rowOf("b", { plugin: "a", point: "pre_receive", timeout_ms: 20 }),
  ];
  const stuck = guarded(hang, rows, { budget });
  const two = await Promise.all([stuck.run(), stuck.run({}, "pre_receive")]);
  assert.deepEqual(two.flatMap(outcomes), ["timeout", "timeout"]);
  // Who got no turn says nothing about the plugin.
  assert.deepEqual(
    two.map(({ events }) => events[0]?.data.bytes_sent === 0),
    [false, true],
  );
});

test("the concurrency holds over a reload: calls of the plugin before count", async () => {
  const budget = {
    concurrency: 1,
    callsPerDay: undefined,
    tokensPerDay: undefined,
    overBudget: "skip",
  } as const;
  const rig = guarded(hang, [rowOf("a", { timeout_ms: 400 })], { budget });
  const first = rig.run();
  await new Promise(resolve => setImmediate(resolve));
  const plugin = pluginOf("a", () => ({}), EVERYTHING, { budget });
  rig.runner.replace(compileHooks([rowOf("a", { timeout_ms: 20 })], { find: () => plugin }));
  const second = await rig.run();
  assert.deepEqual([outcomes(second), second.events[0]?.data.bytes_sent], [["timeout"], 0]);
  assert.deepEqual(outcomes(await first), ["timeout"]);
  assert.deepEqual(outcomes(await rig.run()), ["ok"]);
});

const strict = (change: Partial<HookRow["demote"]> = {}) => ({
  demote: { ...DEMOTE_DEFAULTS, min_calls: 40, ...change },
});

test("5 % injected errors demote a hook within the window; mail follows its policy and is not lost; an innocent hook stays", async () => {
  let call = 0;
  const rig = guarded(
    {
      bad: () => (++call % 20 === 0 ? "garbage" : { tags: { add: ["bad"] } }),
      good: () => ({ tags: { add: ["good"] } }),
    },
    [rowOf("bad", { on_error: "tempfail", ...strict() }), rowOf("good", { priority: 200, ...strict() })],
  );
  const actions: string[] = [];
  for (let i = 0; i < 60; i++) {
    rig.clock.ms += 1000;
    actions.push((await rig.run()).decision.action);
  }
  assert.deepEqual(
    rig.demoted.map(({ hook }) => hook),
    ["bad"],
  );
  assert.match(String(rig.demoted[0]?.reason), /^2 of 40 calls failed within 300 s, the threshold is 5 %$/u);
  // Until the demotion the policy; from then on the hook is in shadow. Nothing is without a decision.
  assert.equal(actions.length, 60);
  assert.deepEqual(
    [...actions.entries()].filter(([, action]) => action === "tempfail").map(([i]) => i),
    [19, 39],
  );
  const after = await rig.run();
  assert.deepEqual(
    after.events.map(({ data }) => [data.hook, data.mode, data.configured, data.demoted]),
    [
      ["good", "enforce", undefined, undefined],
      ["bad", "shadow", "enforce", true],
    ],
  );
});

test("errors that are spread over more than the window demote nobody, and few calls say nothing", async () => {
  const rig = guarded(() => "garbage", [rowOf("a", { on_error: "allow", ...strict({ min_calls: 4 }) })]);
  for (let i = 0; i < 8; i++) {
    rig.clock.ms += 150_000;
    await rig.run();
  }
  assert.deepEqual(rig.demoted, []);
});

test("an open circuit is the policy's matter: calls that were not made do not demote", async () => {
  const rig = guarded(() => "garbage", [rowOf("a", strict({ min_calls: 10 }))]);
  for (let i = 0; i < 30; i++) assert.equal((await rig.run()).decision.action, "tempfail");
  assert.deepEqual(rig.demoted, []);
  // Nor do they count as calls: they would make a bad hook look better than it is.
  const figures = rig.guard.figures.take().map(({ what, amount }) => `${what} ${amount}`);
  assert.deepEqual(figures, ["calls 5", "errors 5"]);
});

test("a hook that is too slow is demoted when more than 5 of 100 calls are", async () => {
  let call = 0;
  const slow: Behaviour = async () => {
    if (++call % 10 === 0) await new Promise(resolve => setTimeout(resolve, 30));
    return {};
  };
  const rig = guarded(slow, [rowOf("a", strict({ latency_ms: 25, min_calls: 20 }))]);
  for (let i = 0; i < 20; i++) await rig.run();
  assert.match(String(rig.demoted[0]?.reason), /calls took more than 25 ms/u);
});

test("a canary over its disagreement threshold is demoted; agreement is not counted against it", async () => {
  const canary = { mode: "canary", canary_percent: 0 } as const;
  const limit = strict({ disagreement_percent: 30, min_calls: 10 });
  const differs = guarded(() => ({ folder: "Junk" }), [rowOf("a", { ...canary, ...limit })]);
  for (let i = 0; i < 10; i++) await differs.run();
  assert.match(String(differs.demoted[0]?.reason), /10 of 10 calls in shadow would have made a difference/u);
  const [diff] = differs.guard.takeDiffs();
  assert.deepEqual(diff?.differences, [{ field: "folder", would: "Junk", was: "" }]);
  const agrees = guarded(() => ({ metadata: { score: 1 } }), [rowOf("a", { ...canary, ...limit })]);
  for (let i = 0; i < 20; i++) await agrees.run();
  assert.deepEqual(agrees.demoted, []);
});

test("a restored hook starts anew: what it was demoted for does not demote it again", async () => {
  let bad = true;
  const rig = guarded(
    () => (bad ? "garbage" : {}),
    [rowOf("a", { on_error: "allow", ...strict({ min_calls: 4 }) })],
  );
  for (let i = 0; i < 4; i++) await rig.run();
  assert.equal(rig.demoted.length, 1);
  bad = false;
  rig.guard.setDemotions([]);
  await rig.run();
  bad = true;
  const { events } = await rig.run();
  assert.deepEqual([events[0]?.data.mode, rig.demoted.length], ["enforce", 1]);
});

test("a plugin that is not asked because it failed too often keeps its calls of the day", async () => {
  const budget = {
    concurrency: undefined,
    callsPerDay: 8,
    tokensPerDay: undefined,
    overBudget: "skip",
  } as const;
  const rig = guarded(() => "garbage", [rowOf("a", { on_error: "allow" })], { budget });
  for (let i = 0; i < 30; i++) await rig.run();
  // Five calls opened the circuit, none was made after them.
  assert.deepEqual(outcomes(await rig.run()), ["circuit_open"]);
  const calls = rig.guard.budgets.counts.take().filter(({ what }) => what === "calls");
  assert.deepEqual(
    calls.map(({ amount }) => amount),
    [5],
  );
});

test("what goes beyond the grant is told once an hour for each hook and reason, whatever the mode", async () => {
  const rig = guarded(
    () => ({ flags: { add: ["\\Seen"] }, tags: { add: ["NO"] } }),
    [rowOf("a"), rowOf("s", { plugin: "a", mode: "shadow" })],
  );
  for (let i = 0; i < 3; i++) await rig.run();
  const lines = [...rig.told].sort();
  assert.deepEqual(
    lines.map(line => line.split(" ").slice(0, 3).join(" ")),
    ["denied a flags", "denied a tags.add", "denied s flags", "denied s tags.add"],
  );
  rig.clock.ms += HOUR_MS;
  await rig.run();
  assert.deepEqual([...rig.told].sort(), [...lines, ...lines].sort());
});

test("a hook that somebody sets to another mode, or whose plugin is another version, is not judged by what was before", async () => {
  const row = rowOf("a", { mode: "shadow", on_error: "allow", ...strict({ min_calls: 4 }) });
  const rig = guarded(() => "garbage", [row]);
  for (let i = 0; i < 4; i++) await rig.run();
  assert.deepEqual(rig.demoted, []);
  const grants = { ...EVERYTHING, decide: ["reject" as const] };
  const use = (mode: HookRow["mode"], version: string) => {
    const plugin = pluginOf("a", () => "garbage", grants, { version });
    rig.runner.replace(compileHooks([{ ...row, mode }], { find: () => plugin }));
  };
  use("enforce", "1.0.0");
  for (let i = 0; i < 3; i++) await rig.run();
  use("enforce", "2.0.0");
  for (let i = 0; i < 3; i++) await rig.run();
  assert.deepEqual(rig.demoted, []);
  // The same again: nothing of it is forgotten.
  use("enforce", "2.0.0");
  await rig.run();
  assert.equal(rig.demoted.length, 1);
});

test("one call for many recipients counts as one that was compared: a single message demotes nobody", async () => {
  const domain = Array.from({ length: 10 }, (_, i) => `u${i}@example.com`);
  const limit = strict({ disagreement_percent: 30, min_calls: 4 });
  const row = rowOf("a", { mode: "canary", canary_percent: 0, per_recipient: false, ...limit });
  const rig = guarded(() => ({ folder: "Junk" }), [row]);
  const facts = factsOf("Message-ID: <one@x.example>\n\nbody");
  const deadline = deadlineAfter(5000);
  for (const one of domain) {
    const each = { ...facts, recipients: [one], account: one, domainRecipients: domain };
    await awake(awake(rig.runner.run("pre_delivery", each, deadline)).then(({ late }) => late));
  }
  deadline.dispose();
  assert.equal(rig.calls.length, 1);
  assert.deepEqual(rig.demoted, []);
  const figures = rig.guard.figures.take().map(({ what, amount }) => `${what} ${amount}`);
  assert.deepEqual(figures, ["calls 1", "compared 1", "differing 1", "folder 1"]);
  assert.equal(rig.guard.takeDiffs().length, 1);
});
