/** The breaker in the chain: when plugins are not called, what mail meets then, and how loudly it is said. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import type { MessageFacts } from "../../../src/core/ports/hooks.ts";
import { FAILURES_IN_A_ROW, OPEN_MS } from "../../../src/hooks/breaker.ts";
import { compileHooks } from "../../../src/hooks/hook-set.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { awake } from "./awake.ts";
import { factsOf, theOne } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, type Rig, rigOf, rowOf } from "./rig.ts";

const crash: Behaviour = () => {
  throw new MairustError("plugin_failed", "it crashed");
};
const FAILING: Behaviour = payload =>
  payload.settings.good === true ? {} : crash(payload, deadlineAfter(1));

async function run(rig: Rig, change: Partial<MessageFacts> = {}, chainMs = 60_000) {
  const deadline = deadlineAfter(chainMs);
  try {
    return theOne(
      await awake(rig.runner.run("pre_delivery", factsOf("Subject: x\n\nbody", change), deadline)),
    );
  } finally {
    deadline.dispose();
  }
}

async function fail(rig: Rig, times = FAILURES_IN_A_ROW): Promise<void> {
  for (let i = 0; i < times; i++) await run(rig);
}

function rigWith(behave: Behaviour, row: object = {}, more: object = {}) {
  const clock = { now: 1_000_000 };
  let calls = 0;
  const counted: Behaviour = (payload, deadline) => {
    calls++;
    return behave(payload, deadline);
  };
  const rig = rigOf([pluginOf("a", counted)], [rowOf("a", row)], { steadyNow: () => clock.now, ...more });
  return Object.assign(rig, { clock, called: () => calls });
}

const eventsNamed = (rig: Rig, name: string) => rig.log.filter(line => line.startsWith(`${name} `));

test("an open circuit is on_error at once, without a call; other hooks are not touched", async () => {
  let good = 0;
  const rig = rigOf(
    [
      pluginOf("a", crash),
      pluginOf("b", () => {
        good++;
        return { tags: { add: ["b"] } };
      }),
    ],
    [rowOf("a", { on_error: "allow", on_timeout: "reject" }), rowOf("b")],
  );
  await fail(rig);
  const decision = await run(rig);
  assert.deepEqual([decision.action, decision.tags], ["deliver", ["mairust:unchecked", "b"]]);
  assert.deepEqual(
    decision.events.map(({ data }) => [data.outcome, data.policy, data.bytes_sent]),
    [
      ["circuit_open", "allow", 0],
      ["ok", null, decision.events[1]?.data.bytes_sent],
    ],
  );
  assert.match(String(decision.events[0]?.data.problem), /open: it crashed/);
  assert.equal(good, FAILURES_IN_A_ROW + 1);
  const outcomes = rig.calls.filter(({ plugin }) => plugin === "a").map(({ outcome }) => outcome);
  assert.deepEqual(outcomes, [...Array(FAILURES_IN_A_ROW).fill("error"), "circuit_open"]);
});

test("one error in the log for an opening, a metric, and the plugin's name for the health", async () => {
  const rig = rigWith(crash);
  assert.equal(rig.circuits.get("a"), "closed");
  await fail(rig, FAILURES_IN_A_ROW + 3);
  assert.equal(eventsNamed(rig, "plugin_circuit_open").length, 1);
  assert.match(eventsNamed(rig, "plugin_circuit_open")[0] ?? "", /"plugin":"a","problem":"it crashed"/);
  assert.equal(rig.circuits.get("a"), "open");
  assert.deepEqual(rig.runner.brokenCircuits(), [{ plugin: "a", state: "open", reason: "it crashed" }]);
  assert.equal(rig.called(), FAILURES_IN_A_ROW);
  rig.clock.now += OPEN_MS;
  await fail(rig, 2);
  assert.equal(rig.called(), FAILURES_IN_A_ROW + 1, "more than one probe");
  assert.deepEqual(
    [eventsNamed(rig, "plugin_circuit_open").length, eventsNamed(rig, "plugin_circuit_still_open").length],
    [1, 1],
  );
});

test("a probe that is answered closes the circuit", async () => {
  let good = false;
  const rig = rigWith((payload, deadline) => (good ? {} : crash(payload, deadline)));
  await fail(rig);
  good = true;
  rig.clock.now += OPEN_MS;
  assert.equal((await run(rig)).action, "deliver");
  assert.deepEqual([rig.circuits.get("a"), rig.runner.brokenCircuits()], ["closed", []]);
  assert.equal(eventsNamed(rig, "plugin_circuit_closed").length, 1);
});

test("while the probe is under way nobody else is let through", async () => {
  let answer = () => {};
  let probing = false;
  const rig = rigWith(async (payload, deadline) => {
    if (!probing) return crash(payload, deadline);
    await new Promise<void>(resolve => {
      answer = resolve;
    });
    return {};
  });
  await fail(rig);
  probing = true;
  rig.clock.now += OPEN_MS;
  const probe = run(rig);
  await sleep(10);
  assert.equal(rig.circuits.get("a"), "half_open");
  assert.equal((await run(rig)).events[0]?.data.outcome, "circuit_open");
  answer();
  assert.equal((await probe).events[0]?.data.outcome, "ok");
});

test("hooks of one plugin share its circuit, at all points", async () => {
  const plugin = pluginOf("a", crash);
  const rig = rigOf(
    [plugin],
    [rowOf("one", { plugin: "a" }), rowOf("two", { plugin: "a", point: "post_receive" })],
  );
  await fail(rig);
  const decisions = await rig.runner.run("post_receive", factsOf("x: y\n\n"), deadlineAfter(1000));
  assert.match(decisions.failed?.[0]?.problem ?? "", /circuit/);
});

test("what never left, and what the chain cut short, says nothing about the plugin", async () => {
  const full = rigWith(() => ({}), {}, { ledger: { record: () => Promise.reject(new Error("disk full")) } });
  await fail(full, FAILURES_IN_A_ROW + 2);
  assert.deepEqual([full.circuits.get("a"), full.called()], ["closed", 0]);
  const hang: Behaviour = () => new Promise(() => {});
  const cut = rigWith(hang);
  for (let i = 0; i < FAILURES_IN_A_ROW + 2; i++) await run(cut, {}, 5);
  assert.equal(cut.circuits.get("a"), "closed");
  const own = rigWith(hang, { timeout_ms: 5 });
  await fail(own);
  assert.equal(own.circuits.get("a"), "open");
});

test("late answers that come in their late time are no failures", async () => {
  const late = { late: "apply", on_timeout: "allow", timeout_ms: 5, late_timeout_ms: 2000 };
  const slow: Behaviour = async () => {
    await sleep(20);
    return { tags: { add: ["x"] } };
  };
  const rig = rigWith(slow, late, { lateAnswers: async () => {} });
  for (let i = 0; i < FAILURES_IN_A_ROW + 2; i++) await awake((await run(rig)).late ?? Promise.resolve([]));
  assert.equal(rig.circuits.get("a"), "closed");
  const never = rigWith(
    () => new Promise(() => {}),
    { ...late, late_timeout_ms: 10 },
    { lateAnswers: async () => {} },
  );
  for (let i = 0; i < FAILURES_IN_A_ROW; i++) await awake((await run(never)).late ?? Promise.resolve([]));
  assert.equal(never.circuits.get("a"), "open");
});

test("a plugin that a reload exchanged starts closed; one that is gone leaves no metric", async () => {
  const rig = rigWith(crash);
  await fail(rig);
  const fresh = pluginOf("a", FAILING, EVERYTHING, { settings: { good: true } });
  rig.runner.replace(compileHooks([rowOf("a")], { find: () => fresh }));
  assert.deepEqual([rig.circuits.get("a"), (await run(rig)).action], ["closed", "deliver"]);
  rig.runner.replace(compileHooks([], { find: () => fresh }));
  assert.deepEqual([rig.circuits.get("a"), rig.runner.brokenCircuits()], [undefined, []]);
});

test("calls of before a reload say nothing about the plugin of after it", async () => {
  const gate = new AbortController();
  const stuck: Behaviour = () =>
    new Promise((_, reject) =>
      gate.signal.addEventListener("abort", () => reject(new MairustError("plugin_failed", "it ended"))),
    );
  const rig = rigWith(stuck);
  const running = Array.from({ length: FAILURES_IN_A_ROW + 1 }, () => run(rig));
  await sleep(10);
  const fresh = pluginOf("a", () => ({}));
  rig.runner.replace(compileHooks([rowOf("a")], { find: () => fresh }));
  gate.abort();
  await Promise.all(running);
  assert.deepEqual([rig.circuits.get("a"), rig.runner.brokenCircuits()], ["closed", []]);
});

test("a plugin that is not loaded has no circuit", async () => {
  const rig = rigOf(
    [pluginOf("a", crash, EVERYTHING, { transport: undefined, failure: "no" })],
    [rowOf("a")],
  );
  await fail(rig, FAILURES_IN_A_ROW + 1);
  assert.equal((await run(rig)).events[0]?.data.outcome, "error");
  assert.equal(rig.circuits.size, 0);
});
