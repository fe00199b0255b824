/** Demotion: which hooks go back to shadow, after what, and which do not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileHooks, type HookRow } from "../../../src/hooks/hook-set.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { DEMOTE_DEFAULTS } from "../../../src/wire/config/hooks.ts";
import { awake } from "./awake.ts";
import { guarded } from "./guard-rig.ts";
import { factsOf } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, rowOf } from "./rig.ts";

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
