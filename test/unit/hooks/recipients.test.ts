/** One chain for many recipients: who is in the scope of which call, what it is shown, and what comes of it for each. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChainOptions, HookDecisions, HookPoint, MessageFacts } from "../../../src/core/ports/hooks.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import type { HookPayload } from "../../../src/wire/hook-payload.ts";
import { awake } from "./awake.ts";
import { factsOf } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, type Rig, rigOf, rowOf } from "./rig.ts";

const A = "a@one.example";
const B = "b@one.example";
const C = "c@two.example";
const to = (...recipients: string[]): Partial<MessageFacts> => ({ recipients, account: undefined });
const filterOf = (filter: object) => ({ filter: { ...rowOf("x").filter, ...filter } });

async function run(
  rig: Rig,
  change: Partial<MessageFacts>,
  options: ChainOptions = {},
  point: HookPoint = "pre_receive",
): Promise<HookDecisions> {
  const deadline = deadlineAfter(5000);
  try {
    return await awake(rig.runner.run(point, factsOf("Subject: x\n\nbody", change), deadline, options));
  } finally {
    deadline.dispose();
  }
}

interface Asked {
  readonly hook: string;
  readonly mode: string;
  readonly to: readonly string[] | undefined;
  readonly tags: readonly string[] | undefined;
  readonly provenance: readonly string[] | undefined;
}

/** Plugins that answer as told, and what they were asked, at `pre_receive`. */
function chainOf(
  hooks: Readonly<Record<string, readonly [answer: unknown, row?: object]>>,
  point: HookPoint = "pre_receive",
): Rig & { readonly asked: Asked[] } {
  const asked: Asked[] = [];
  const behave =
    (answer: unknown): Behaviour =>
    async (payload: HookPayload) => {
      asked.push({
        hook: payload.plugin.id,
        mode: payload.mode,
        to: payload.envelope?.rcpt_to,
        tags: payload.context?.tags,
        provenance: payload.provenance?.map(({ hook }) => hook),
      });
      return typeof answer === "function" ? answer(payload) : answer;
    };
  const grants = { ...EVERYTHING, decide: ["reject", "tempfail", "hold"] as const };
  const plugins = Object.entries(hooks).map(([id, [answer]]) =>
    pluginOf(id, behave(answer), { ...grants, decide: [...grants.decide] }),
  );
  const rows = Object.entries(hooks).map(([name, [, row]]) => rowOf(name, { point, ...row }));
  return Object.assign(rigOf(plugins, rows), { asked });
}

const actions = ({ each }: HookDecisions) =>
  [...each].map(([recipient, { action, tags }]) => [recipient, action, ...tags]);
const tag = (...tags: string[]) => ({ tags: { add: tags } });

test("without a hook at the point each recipient has a decision, and the tags there were", async () => {
  const decisions = await run(chainOf({}), { ...to(A, B), tags: ["old"] }, { provenance: [] });
  assert.deepEqual(actions(decisions), [
    [A, "deliver", "old"],
    [B, "deliver", "old"],
  ]);
  assert.deepEqual([decisions.events, decisions.late, decisions.failed], [[], undefined, undefined]);
});

test("a hook is called once for all recipients that its filter lets through, and changes those alone", async () => {
  const chain = chainOf({
    all: [tag("x"), { priority: 1 }],
    one: [tag("y"), { priority: 2, ...filterOf({ domain: "one\\.example" }) }],
    none: [tag("z"), { priority: 3, ...filterOf({ recipient: "nobody" }) }],
  });
  const decisions = await run(chain, to(A, B, C));
  assert.deepEqual(
    chain.asked.map(({ hook, to }) => [hook, to]),
    [
      ["all", [A, B, C]],
      ["one", [A, B]],
    ],
  );
  assert.deepEqual(actions(decisions), [
    [A, "deliver", "x", "y"],
    [B, "deliver", "x", "y"],
    [C, "deliver", "x"],
  ]);
  assert.deepEqual(
    decisions.events.map(({ recipient, data }) => [recipient, data.hook, data.recipients]),
    [
      [undefined, "all", 3],
      [undefined, "one", 2],
    ],
  );
});

test("a recipient that is named twice is one recipient", async () => {
  const chain = chainOf({ a: ["garbage", { on_error: "allow" }] });
  const decisions = await run(chain, to(A, A, B));
  assert.deepEqual(
    [...decisions.each].map(([recipient, { headers }]) => [recipient, headers.length]),
    [
      [A, 1],
      [B, 1],
    ],
  );
});

test("whose decision is final meets no hook any more; the others do, until all are final", async () => {
  const chain = chainOf({
    one: [{ action: "reject" }, { priority: 1, ...filterOf({ recipient: A }) }],
    two: [{ action: "tempfail" }, { priority: 2, ...filterOf({ domain: "one\\.example" }) }],
    three: [{ action: "reject", code: 554, permanent: true }, { priority: 3 }],
    four: [{}, { priority: 4 }],
  });
  const decisions = await run(chain, to(A, B, C));
  assert.deepEqual(
    chain.asked.map(({ hook, to }) => [hook, to]),
    [
      ["one", [A]],
      ["two", [B]],
      ["three", [C]],
    ],
  );
  assert.deepEqual(
    [...decisions.each.values()].map(({ action, reply, by }) => [
      action,
      reply?.code,
      by?.name,
      by?.pluginId,
    ]),
    [
      ["reject", 550, "one", "one"],
      ["tempfail", 451, "two", "two"],
      ["reject", 554, "three", "three"],
    ],
  );
  assert.equal(decisions.events[0]?.recipient, A);
});

test("a hook is shown what was done for any of its recipients, in the order of the chain", async () => {
  const chain = chainOf({
    a: [tag("a"), { priority: 1, ...filterOf({ recipient: A }) }],
    b: [tag("b"), { priority: 2, ...filterOf({ recipient: B }) }],
    c: [tag("c"), { priority: 3, ...filterOf({ recipient: A }) }],
    all: [{}, { priority: 4 }],
    last: [{}, { priority: 5, ...filterOf({ recipient: B }) }],
  });
  const earlier = { plugin_id: "p", hook: "before", changes: ["tags"] };
  const decisions = await run(chain, { ...to(B, A), tags: ["old"] }, { provenance: [earlier] });
  const [all, last] = chain.asked.slice(3);
  assert.deepEqual(
    [all?.tags, all?.provenance],
    [
      ["old", "b", "a", "c"],
      ["before", "a", "b", "c"],
    ],
  );
  assert.deepEqual(
    [last?.tags, last?.provenance],
    [
      ["old", "b"],
      ["before", "b"],
    ],
  );
  assert.deepEqual(
    decisions.each.get(A)?.provenance.map(({ hook }) => hook),
    ["before", "a", "c"],
  );
});

test("recipients that are only observed make a call of their own, in shadow, after the decision", async () => {
  const chain = chainOf({
    one: [{ action: "reject" }, { priority: 1 }],
    two: [{}, { priority: 2 }],
  });
  const decisions = await run(chain, { ...to(A, B, C), observed: new Set([B]) });
  assert.deepEqual(actions(decisions), [
    [A, "reject"],
    [B, "deliver"],
    [C, "reject"],
  ]);
  assert.deepEqual(
    chain.asked.map(({ hook, mode, to }) => [hook, mode, to]),
    [["one", "enforce", [A, C]]],
  );
  const late = await awake(decisions.late ?? Promise.resolve([]));
  assert.deepEqual(
    late.map(({ recipient, data }) => [recipient, data.hook, data.mode, data.verdict]),
    [
      [B, "one", "shadow", "reject"],
      [B, "two", "shadow", "deliver"],
    ],
  );
});

test("where all recipients are observed, no call is enforced", async () => {
  const chain = chainOf({ one: [{ action: "reject" }] });
  const decisions = await run(chain, { ...to(A, B), observed: new Set([A, B]) });
  assert.deepEqual(actions(decisions), [
    [A, "deliver"],
    [B, "deliver"],
  ]);
  await awake(decisions.late ?? Promise.resolve([]));
  assert.deepEqual(
    chain.asked.map(({ mode, to }) => [mode, to]),
    [["shadow", [A, B]]],
  );
});

test("a hold does not hide a later refusal; a held message takes along what was changed up to the hold", async () => {
  const hooks = {
    early: [tag("x"), { priority: 1 }],
    holder: [{ action: "hold", reason: "look", ...tag("held") }, { priority: 2 }],
    behind: [tag("y"), { priority: 3 }],
    refuser: [{ action: "reject" }, { priority: 4, ...filterOf({ recipient: B }) }],
  } as const;
  const chain = chainOf(hooks);
  const decisions = await run(chain, to(A, B));
  assert.deepEqual(actions(decisions), [
    [A, "hold", "x", "held"],
    [B, "reject"],
  ]);
  const held = decisions.each.get(A);
  assert.deepEqual(held?.by, { name: "holder", priority: 2, pluginId: "holder", reason: "look" });
  assert.deepEqual(
    held.provenance.map(({ hook }) => hook),
    ["early", "holder"],
  );
  // Released: the hooks behind the one that held it go on from there.
  const released = chainOf(hooks);
  const after = await run(
    released,
    { ...to(A), tags: held.tags },
    { after: held.by ?? { priority: 0, name: "" }, provenance: held.provenance },
  );
  assert.deepEqual(
    released.asked.map(({ hook, tags, provenance }) => [hook, tags, provenance]),
    [["behind", ["x", "held"], ["early", "holder"]]],
  );
  assert.deepEqual(actions(after), [[A, "deliver", "x", "held", "y"]]);
});

test("post_receive: nothing is decided, no policy applies, and calls that failed are told for another try", async () => {
  const attempts: number[] = [];
  const chain = chainOf(
    {
      good: [
        ({ attempt }: HookPayload) => {
          attempts.push(attempt);
          return { ...tag("x"), action: "reject", folder: "F" };
        },
        { priority: 1 },
      ],
      bad: ["garbage", { priority: 2, on_error: "reject" }],
      shadow: ["garbage", { priority: 3, mode: "shadow" }],
    },
    "post_receive",
  );
  const decisions = await run(chain, to(A), { attempt: 3 }, "post_receive");
  const decision = decisions.each.get(A);
  assert.deepEqual(
    [decision?.action, decision?.tags, decision?.folder, decision?.headers],
    ["deliver", ["x"], "F", []],
  );
  assert.deepEqual(decisions.failed, [{ hook: "bad", problem: "not one JSON document in UTF-8" }]);
  assert.deepEqual(attempts, [3]);
  assert.deepEqual(chain.denied, ["good action"]);
  assert.deepEqual(
    decisions.events.map(({ data }) => [data.outcome, data.policy]),
    [
      ["ok", null],
      ["malformed", null],
    ],
  );
  await awake(decisions.late ?? Promise.resolve([]));
});

test("needs() is the union over the hooks of the point", () => {
  const chain = rigOf(
    [pluginOf("a", () => ({}), { read_headers: true }), pluginOf("b", () => ({}), { read_body: "preview" })],
    [rowOf("a", { point: "pre_receive" }), rowOf("b", { point: "pre_send", on_error: "hold" })],
  );
  assert.deepEqual(chain.runner.needs("pre_receive"), { headers: true, body: false, hold: false });
  assert.deepEqual(chain.runner.needs("pre_send"), { headers: false, body: true, hold: true });
  assert.deepEqual(chain.runner.needs("pre_delivery"), { headers: false, body: false, hold: false });
});
