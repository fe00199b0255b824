import assert from "node:assert/strict";
import { test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { payloadCost } from "../../../src/core/permissions-cost.ts";
import { compileHooks } from "../../../src/hooks/hook-set.ts";
import { deadlineAfter, sleep } from "../../../src/platform/deadline.ts";
import { awake } from "./awake.ts";
import { factsOf, theOne } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, rigOf, rowOf, TAGGER } from "./rig.ts";

import { data, hang, MESSAGE, rigWith, run, tagger } from "./run-chain.ts";

test("has() tells where hooks stand; a hook that is off does not count", () => {
  const rig = rigWith(() => ({}));
  assert.ok(rig.runner.has("pre_delivery") && !rig.runner.has("post_receive"));
  assert.ok(!rigWith(() => ({}), { enabled: false }).runner.has("pre_delivery"));
});

test("hooks run by priority, then by name in code-point order, each seeing what those before it did", async () => {
  const seen: Array<readonly [string, unknown, unknown]> = [];
  const watch =
    (name: string): Behaviour =>
    payload => {
      seen.push([name, payload.context?.tags, payload.provenance?.map(entry => entry.hook)]);
      return { tags: { add: [`t-${name.toLowerCase()}`] } };
    };
  const plugins = ["b", "a", "B", "z"].map(name => pluginOf(name, watch(name)));
  const rig = rigOf(plugins, [rowOf("b"), rowOf("a"), rowOf("B"), rowOf("z", { priority: 5 })]);
  const decision = await run(rig, factsOf(MESSAGE, { tags: ["old"] }));
  assert.deepEqual(seen, [
    ["z", ["old"], []],
    ["B", ["old", "t-z"], ["z"]],
    ["a", ["old", "t-z", "t-b"], ["z", "B"]],
    ["b", ["old", "t-z", "t-b", "t-a"], ["z", "B", "a"]],
  ]);
  assert.deepEqual(decision.tags, ["old", "t-z", "t-b", "t-a"]);
});

test("parallel hooks of one priority run together and are merged in order", async () => {
  let together = 0;
  let most = 0;
  const meet: Behaviour = async ({ plugin }) => {
    most = Math.max(most, ++together);
    await sleep(plugin.id === "a" ? 30 : 10);
    together--;
    return { folder: plugin.id };
  };
  const rig = rigOf(
    ["a", "b", "c"].map(id => pluginOf(id, meet)),
    [rowOf("a", { parallel: true }), rowOf("b", { parallel: true }), rowOf("c")],
  );
  const decision = await run(rig);
  assert.equal(most, 2);
  assert.equal(decision.folder, "c");
  assert.deepEqual(
    decision.events.map(({ data: { hook, conflict } }) => [hook, conflict]),
    [
      ["a", null],
      ["b", { folder: "a", replacedHook: "a" }],
      ["c", { folder: "b", replacedHook: "b" }],
    ],
  );
});

test("reject stops the chain at once and drops what was done before", async () => {
  const rig = rigOf(
    [
      pluginOf("a", tagger("x")),
      pluginOf("b", () => ({ action: "reject", reason: "No" })),
      pluginOf("c", tagger("y")),
    ],
    [rowOf("a"), rowOf("b"), rowOf("c")],
  );
  const decision = await run(rig);
  assert.deepEqual([decision.action, decision.reply?.text, decision.tags], ["reject", "No", []]);
  assert.deepEqual(
    rig.calls.map(({ hook }) => hook),
    ["a", "b"],
  );
});

test("lines about a failed or denied call name the message, its recipient and the call", async () => {
  const behave: Behaviour = ({ envelope }) => (envelope === undefined ? "garbage" : { folder: "x" });
  const rig = rigOf(
    [pluginOf("a", behave, {}), pluginOf("b", behave, TAGGER)],
    [rowOf("a", { on_error: "allow" }), rowOf("b")],
  );
  await run(rig);
  await run(rig, factsOf(MESSAGE, { queueId: "" }));
  const lines = rig.log.map(line => [line.split(" ")[0], JSON.parse(line.slice(line.indexOf("{")))]);
  assert.deepEqual(
    lines.map(([event, { queue_id, id, to, hook, call_id }]) => [
      event,
      queue_id,
      id,
      to,
      hook,
      typeof call_id,
    ]),
    ["4XyZ1234", undefined].flatMap(queueId =>
      [
        ["hook_failed", "a"],
        ["hook_denied", "b"],
      ].map(([event, hook]) => [
        event,
        queueId,
        "0190a000-0000-7000-8000-00000000000a",
        "user@example.com",
        hook,
        "string",
      ]),
    ),
  );
});

test("times in events have three decimals at most", async () => {
  const { ms } = data(await run(rigWith(hang, { timeout_ms: 20 })));
  assert.match(String(ms), /^\d+(?:\.\d{1,3})?$/);
});

test("a time-out follows on_timeout, every other failure on_error", async () => {
  const crash: Behaviour = () => {
    throw new MairustError("plugin_failed", "it crashed");
  };
  const failures: ReadonlyArray<readonly [Behaviour, string]> = [
    [hang, "timeout"],
    [crash, "error"],
    [() => "{}{}", "malformed"],
    [() => ({ call_id: "other" }), "malformed"],
  ];
  for (const [behave, outcome] of failures) {
    const late = outcome === "timeout";
    const policies = late
      ? { on_timeout: "reject", on_error: "allow" }
      : { on_timeout: "allow", on_error: "reject" };
    const rig = rigWith(behave, { timeout_ms: 30, ...policies });
    const decision = await run(rig);
    assert.deepEqual(
      [decision.action, data(decision).outcome, data(decision).policy, rig.calls[0]?.outcome],
      ["reject", outcome, "reject", outcome],
    );
  }
  const allowed = await run(rigWith(hang, { timeout_ms: 30, on_timeout: "allow" }));
  assert.deepEqual(
    [allowed.action, allowed.headers, allowed.tags],
    ["deliver", [["X-MaiRust-Skipped", "a"]], ["mairust:unchecked"]],
  );
  const deferred = await run(rigWith(crash));
  assert.deepEqual([deferred.action, deferred.reply?.code], ["tempfail", 451]);
});

test("a plugin that ignores its deadline is given up all the same", async () => {
  const began = performance.now();
  const decision = await run(rigWith(() => new Promise(() => {}), { timeout_ms: 40 }));
  assert.equal(data(decision).outcome, "timeout");
  assert.ok(performance.now() - began < 20_000, "the chain's deadline ended it");
});

test("the chain's deadline cuts hooks that have more time left, by their own on_timeout", async () => {
  const rig = rigOf(
    [pluginOf("a", hang), pluginOf("b", hang)],
    [rowOf("a", { on_timeout: "allow" }), rowOf("b", { on_timeout: "allow" })],
  );
  const began = performance.now();
  const decision = await run(rig, factsOf(MESSAGE), 60);
  // Each has five seconds.
  assert.ok(performance.now() - began < 5000);
  assert.deepEqual(decision.headers, [
    ["X-MaiRust-Skipped", "a"],
    ["X-MaiRust-Skipped", "b"],
  ]);
});

test("the plugin's own wall time shortens the hook's time-out, and the payload tells the time there is", async () => {
  let told = 0;
  const rig = rigWith(
    ({ deadline_ms }) => {
      told = deadline_ms;
      return {};
    },
    { timeout_ms: 5000 },
    { wallTimeMs: 4000 },
  );
  await run(rig);
  assert.ok(told > 0 && told <= 4000, String(told));
});

test("a plugin that is not loaded fails by on_error", async () => {
  const decision = await run(
    rigWith(() => ({}), {}, { transport: undefined, failure: "it has no signature" }),
  );
  assert.equal(decision.action, "tempfail");
  assert.match(String(data(decision).problem), /no signature/);
});

test("what goes beyond the grant is dropped, counted and recorded; on_violation = error makes it a failure", async () => {
  const greedy: Behaviour = () => ({ tags: { add: ["x"] }, folder: "Junk", action: "reject" });
  const rig = rigOf([pluginOf("a", greedy, TAGGER)], [rowOf("a")]);
  const decision = await run(rig);
  assert.deepEqual([decision.action, decision.folder, decision.tags], ["deliver", undefined, ["x"]]);
  assert.deepEqual(rig.denied, ["a action", "a folder"]);
  assert.equal((data(decision).denied as unknown[]).length, 2);
  const strict = rigOf([pluginOf("a", greedy, TAGGER, { onViolation: () => "error" })], [rowOf("a")]);
  const failed = await run(strict);
  assert.deepEqual([failed.action, data(failed).outcome], ["tempfail", "violation"]);
});

test("a filter passes a message by without a call or an event", async () => {
  const filter = { ...rowOf("a").filter, header: { "x-junk": "no" } };
  const rig = rigWith(tagger("x"), { filter });
  assert.deepEqual((await run(rig)).events, []);
  assert.deepEqual(rig.calls, []);
});

test("the event says what was sent, what came back and what became of it", async () => {
  const rig = rigWith(({ call_id }) => ({
    call_id,
    tags: { add: ["x"] },
    folder: "F",
    reason: "r",
    explanation: "e",
    extra: 1,
  }));
  const decision = await run(rig);
  const { call_id, ms, bytes_sent, ...rest } = data(decision);
  assert.match(String(call_id), /^[0-9a-f-]{36}$/);
  assert.ok(Number(ms) >= 0 && Number(bytes_sent) > 100);
  assert.deepEqual(rest, {
    hook: "a",
    plugin: "a",
    version: "1.0.0",
    mode: "enforce",
    outcome: "ok",
    verdict: "deliver",
    code: null,
    tags: { add: ["x"], remove: [] },
    folder: "F",
    reason: "r",
    explanation: "e",
    problem: null,
    policy: null,
    denied: [],
    unknown_fields: 1,
    conflict: null,
    recipients: 1,
    fields: [
      "provenance",
      "headers",
      "headers_truncated",
      "envelope",
      "auth",
      "context",
      "body_preview",
      "mime_truncated",
    ],
  });
  assert.equal(decision.events[0]?.recipient, "user@example.com");
});

test("what a plugin says never reaches the log", async () => {
  const rig = rigOf(
    [
      pluginOf("a", () => ({ action: "CANARY", reason: "CANARY" }), TAGGER),
      pluginOf("b", () => ({ folder: "CANARY" }), TAGGER),
    ],
    [rowOf("a", { on_error: "allow" }), rowOf("b")],
  );
  await run(rig);
  assert.equal(rig.log.length, 2);
  assert.ok(!rig.log.join().includes("CANARY"), rig.log.join());
});

test("per_recipient = false: one call per transaction and domain, for the recipients that the filter lets through", async () => {
  const asked: unknown[] = [];
  const behave: Behaviour = async payload => {
    asked.push([payload.envelope?.rcpt_to, payload.context?.account]);
    await sleep(10);
    return { tags: { add: ["x"] } };
  };
  const filter = { ...rowOf("a").filter, recipient: "[abc]@example.com" };
  const rig = rigWith(behave, { per_recipient: false, filter });
  const facts = factsOf(MESSAGE, { domainRecipients: ["a@example.com", "b@example.com", "z@example.com"] });
  const decisions = await Promise.all(
    ["a", "b", "z"].map(name =>
      run(rig, { ...facts, recipients: [`${name}@example.com`], account: `${name}@example.com` }),
    ),
  );
  assert.deepEqual(asked, [[["a@example.com", "b@example.com"], null]]);
  assert.deepEqual(
    decisions.map(({ tags }) => tags),
    [["x"], ["x"], []],
  );
  assert.deepEqual(
    decisions.map(({ events }) => events[0]?.recipient),
    ["a@example.com", "b@example.com", undefined],
  );
  assert.equal(rig.calls.length, 1);
});

test("replace() takes effect for the next chain; one that runs keeps its hooks", async () => {
  const a = pluginOf("a", async () => {
    await sleep(30);
    return { tags: { add: ["first"] } };
  });
  const b = pluginOf("b", tagger("second"));
  const rig = rigOf([a, b], [rowOf("a"), rowOf("b")]);
  const running = run(rig);
  rig.runner.replace(compileHooks([rowOf("b", { priority: 1 })], { find: () => b }));
  assert.deepEqual((await running).tags, ["first", "second"]);
  assert.deepEqual((await run(rig)).tags, ["second"]);
  assert.throws(() => compileHooks([rowOf("b"), rowOf("b")], { find: () => b }), {
    code: "config_invalid",
  });
  assert.deepEqual((await run(rig)).tags, ["second"]);
});

test("settled() waits for the chains that run, with what goes on after their decisions, and for no later one", async () => {
  const leave: Array<() => void> = [];
  const held: Behaviour = () =>
    new Promise(resolve => {
      leave.push(() => resolve({}));
    });
  const rig = rigOf([pluginOf("a", held), pluginOf("b", held)], [rowOf("a"), rowOf("b", { mode: "shadow" })]);
  const seen: string[] = [];
  const first = run(rig);
  const settled = rig.runner.settled().then(() => seen.push("settled"));
  const answered = async (calls: number) => {
    while (leave.length < calls) await sleep(1);
  };
  await answered(1);
  const later = run(rig);
  await answered(2);
  leave[0]?.();
  await first;
  // The hook in shadow of the first chain is called now.
  await answered(3);
  assert.deepEqual(seen, []);
  leave[2]?.();
  await awake(settled);
  assert.deepEqual(seen, ["settled"]);
  leave[1]?.();
  await later;
  await answered(4);
  leave[3]?.();
});

test("a payload holds the room that it takes, not what it could have taken, while the plugin thinks", async () => {
  let leave = () => {};
  const thinking = pluginOf("a", () => new Promise(resolve => (leave = () => resolve({}))), EVERYTHING);
  const facts = factsOf(MESSAGE);
  const rig = rigOf(
    [thinking, pluginOf("b", tagger("b"), TAGGER)],
    [rowOf("a"), rowOf("b", { point: "post_receive" })],
    {
      // Both bounds together are more.
      payloadBytesInFlight: payloadCost(facts, thinking.grants) + 4096,
    },
  );
  const first = run(rig, facts);
  const deadline = deadlineAfter(5000);
  const second = theOne(await awake(rig.runner.run("post_receive", facts, deadline)));
  deadline.dispose();
  assert.deepEqual(second.tags, ["b"]);
  leave();
  await first;
});
