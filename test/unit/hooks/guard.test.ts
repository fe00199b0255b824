/** Bypass, caps and budgets in the chain: what they keep from happening, and what mail meets then. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileHooks } from "../../../src/hooks/hook-set.ts";
import { guarded, outcomes } from "./guard-rig.ts";
import { type Behaviour, EVERYTHING, pluginOf, rowOf } from "./rig.ts";
import { hang } from "./run-chain.ts";

const HOUR_MS = 3_600_000;
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
  let leave = () => {};
  const held = new Promise<unknown>(resolve => {
    leave = () => resolve({});
  });
  const rig = guarded(() => held, [rowOf("a")], { budget });
  const first = rig.run();
  await new Promise(resolve => setImmediate(resolve));
  const plugin = pluginOf("a", () => ({}), EVERYTHING, { budget });
  rig.runner.replace(compileHooks([rowOf("a", { timeout_ms: 20 })], { find: () => plugin }));
  const second = await rig.run();
  assert.deepEqual([outcomes(second), second.events[0]?.data.bytes_sent], [["timeout"], 0]);
  rig.runner.replace(compileHooks([rowOf("a")], { find: () => plugin }));
  leave();
  assert.deepEqual(outcomes(await first), ["ok"]);
  assert.deepEqual(outcomes(await rig.run()), ["ok"]);
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
