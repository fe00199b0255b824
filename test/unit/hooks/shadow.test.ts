import assert from "node:assert/strict";
import { test } from "node:test";
import { MAX_SHADOW_CALLS } from "../../../src/hooks/runner.ts";
import { factsOf } from "./message.ts";
import { type Behaviour, pluginOf, rigOf, rowOf } from "./rig.ts";

import { hang, lateEvents, MESSAGE, rigWith, run, tagger } from "./run-chain.ts";

test("a hook in shadow is called and recorded, and nothing of it is applied", async () => {
  for (const behave of [
    () => ({ action: "reject" }),
    hang,
    () => "garbage",
    tagger("x"),
  ] satisfies Behaviour[]) {
    const rig = rigWith(behave, { mode: "shadow", timeout_ms: 30, on_error: "reject", on_timeout: "reject" });
    const decision = await run(rig);
    assert.deepEqual(
      [decision.action, decision.tags, decision.headers, decision.events],
      ["deliver", [], [], []],
    );
    const [event, ...rest] = await lateEvents(decision);
    assert.deepEqual([event?.data.mode, rest], ["shadow", []]);
  }
});

test("a chain without hooks in shadow has nothing late", async () => {
  assert.equal((await run(rigWith(() => ({})))).late, undefined);
});

test("the decision does not wait for hooks in shadow, and they see what they would see in their place", async () => {
  const asked: string[] = [];
  let leave = () => {};
  const decided = new Promise<void>(resolve => {
    leave = resolve;
  });
  const watch: Behaviour = async ({ plugin, context, body_preview }) => {
    asked.push(`${plugin.id} ${context?.tags} ${body_preview?.text}`);
    // A decision that waited for it would find a time-out.
    if (plugin.id === "slow") await decided;
    return { tags: { add: [plugin.id] } };
  };
  const rig = rigOf(
    ["slow", "b", "after"].map(id => pluginOf(id, watch)),
    [
      rowOf("slow", { mode: "shadow", priority: 1 }),
      rowOf("b", { priority: 2 }),
      rowOf("after", { mode: "shadow", priority: 3 }),
    ],
  );
  const decision = await run(rig);
  leave();
  assert.deepEqual([asked, decision.tags], [["b  body"], ["b"]]);
  const late = await lateEvents(decision);
  assert.deepEqual(
    late.map(({ data }) => [data.hook, data.outcome]),
    [
      ["slow", "ok"],
      ["after", "ok"],
    ],
  );
  assert.deepEqual(asked.slice(1).sort(), ["after b body", "slow  body"]);
});

test("after a final verdict the hooks in shadow before it are still called, within their own time-out", async () => {
  let ended = false;
  const watched: Behaviour = (payload, deadline) => {
    deadline.signal.addEventListener("abort", () => {
      ended = true;
    });
    return hang(payload, deadline);
  };
  const rig = rigOf(
    [pluginOf("a", watched), pluginOf("b", () => ({ action: "reject" })), pluginOf("c", hang)],
    [
      rowOf("a", { mode: "shadow", timeout_ms: 60 }),
      rowOf("b"),
      rowOf("c", { mode: "shadow", timeout_ms: 60 }),
    ],
  );
  const began = performance.now();
  const decision = await run(rig, factsOf(MESSAGE), 20);
  assert.ok(!ended, "the verdict waited");
  assert.equal(decision.action, "reject");
  const late = await lateEvents(decision);
  assert.deepEqual(
    late.map(({ data }) => [data.hook, data.outcome]),
    [["a", "timeout"]],
  );
  assert.ok(performance.now() - began < 20_000);
});

test("shadow calls beyond the cap are not made, recorded as skipped, and counted", async () => {
  let calls = 0;
  let leave = () => {};
  const held = new Promise<void>(resolve => {
    leave = resolve;
  });
  const behave: Behaviour = async () => {
    calls++;
    await held;
    return {};
  };
  const rig = rigWith(behave, { mode: "shadow" });
  const decisions = await Promise.all(Array.from({ length: MAX_SHADOW_CALLS + 3 }, () => run(rig)));
  while (calls + rig.calls.length < MAX_SHADOW_CALLS + 3) await new Promise(setImmediate);
  leave();
  const events = (await Promise.all(decisions.map(lateEvents))).flat();
  assert.deepEqual([calls, events.length], [MAX_SHADOW_CALLS, MAX_SHADOW_CALLS + 3]);
  const skipped = events.filter(({ data }) => data.outcome === "skipped");
  assert.deepEqual(
    skipped.map(({ data }) => [data.policy, data.bytes_sent]),
    Array(3).fill([null, 0]),
  );
  assert.equal(rig.calls.filter(({ outcome }) => outcome === "skipped").length, 3);
  await lateEvents(await run(rig));
  assert.equal(calls, MAX_SHADOW_CALLS + 1);
});
