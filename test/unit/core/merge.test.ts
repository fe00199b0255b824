import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckedAnswer } from "../../../src/core/answer.ts";
import { type FailurePolicy, Merge } from "../../../src/core/merge.ts";
import { FLAG_FLAGGED, FLAG_SEEN } from "../../../src/core/ports/store.ts";
import { NOTHING } from "../../lib/no-answer.ts";

const answer = (hook: string, change: Partial<CheckedAnswer>) =>
  ({
    kind: "answer",
    place: { priority: 100, name: hook },
    pluginId: `com.example.${hook}`,
    answer: { ...NOTHING, ...change },
    origin: { point: "pre_delivery", pluginVersion: "1.0.0", callId: `call-${hook}` },
  }) as const;
const failure = (hook: string, policy: FailurePolicy) =>
  ({ kind: "failure", place: { priority: 100, name: hook }, pluginId: "p", policy }) as const;
const reply = (code: number, text: string) => ({ code, enhanced: `${Math.floor(code / 100)}.7.1`, text });

function merged(tags: readonly string[], ...outcomes: Array<Parameters<Merge["add"]>[0]>) {
  const merge = new Merge(tags);
  for (const outcome of outcomes) merge.add(outcome);
  return merge.finish();
}

test("nothing said means deliver, with the tags there were", () => {
  const decision = merged(["old"], answer("a", {}));
  assert.deepEqual(decision, {
    action: "deliver",
    reply: undefined,
    folder: undefined,
    tags: ["old"],
    flags: { system: 0, keywords: [] },
    metadata: {},
    headers: [],
    by: undefined,
    appendText: [],
    addBcc: [],
    provenance: [],
  });
});

test("the strongest decision wins, whatever the order; among equals the first supplies the reply", () => {
  const reject = (hook: string) => answer(hook, { action: "reject", reply: reply(550, hook) });
  const tempfail = answer("t", { action: "tempfail", reply: reply(451, "t") });
  const hold = answer("h", { action: "hold" });
  assert.equal(merged([], hold, tempfail, reject("r")).action, "reject");
  assert.equal(merged([], reject("r"), tempfail, hold).action, "reject");
  assert.equal(merged([], hold, tempfail).action, "tempfail");
  assert.equal(merged([], hold, answer("a", {})).action, "hold");
  assert.equal(merged([], reject("first"), reject("second")).reply?.text, "first");
});

test("reject and tempfail drop every side action of every plugin", () => {
  const changes = answer("a", {
    tagsAdd: ["x"],
    systemFlags: FLAG_SEEN,
    keywords: ["k"],
    folder: "F",
    metadata: new Map([["plugin:p:k", 1]]),
    headers: [["X-A", "1"]],
  });
  for (const action of ["reject", "tempfail"] as const) {
    const decision = merged(["old"], changes, answer("b", { action, reply: reply(550, "no") }));
    const { tags, flags, folder, metadata, headers } = decision;
    assert.deepEqual(
      [tags, flags, folder, metadata, headers],
      [[], { system: 0, keywords: [] }, undefined, {}, []],
    );
  }
  const kept = merged([], changes, failure("b", "allow"));
  assert.equal(kept.folder, "F");
});

test("tags are united without doubles, and removals are applied last", () => {
  const decision = merged(
    ["old", "gone"],
    answer("a", { tagsAdd: ["x"], tagsRemove: ["gone", "y"] }),
    answer("b", { tagsAdd: ["y", "x"] }),
  );
  assert.deepEqual(decision.tags, ["old", "x"]);
});

test("the next hook sees tags and provenance of those before it", () => {
  const merge = new Merge(["old"]);
  merge.add(answer("a", { tagsAdd: ["x"], tagsRemove: ["old"], folder: "F" }));
  merge.add(answer("quiet", {}));
  assert.deepEqual(merge.tags, ["x"]);
  assert.deepEqual(merge.provenance, [
    { plugin_id: "com.example.a", hook: "a", changes: ["tags", "folder"] },
  ]);
});

test("the last folder in order wins and the conflict is told; the same folder twice is none", () => {
  const merge = new Merge([]);
  assert.equal(merge.add(answer("a", { folder: "A" })), undefined);
  assert.equal(merge.add(answer("b", { folder: "A" })), undefined);
  assert.deepEqual(merge.add(answer("c", { folder: "C" })), { folder: "A", replacedHook: "b" });
  assert.equal(merge.finish().folder, "C");
});

test("headers keep their order, flags are united, metadata of plugins lie side by side", () => {
  const decision = merged(
    [],
    answer("a", {
      headers: [["X-A", "1"]],
      systemFlags: FLAG_SEEN,
      keywords: ["z"],
      metadata: new Map([["plugin:a:k", 1]]),
    }),
    answer("b", {
      headers: [["X-A", "2"]],
      systemFlags: FLAG_FLAGGED,
      keywords: ["y"],
      metadata: new Map([["plugin:b:k", 2]]),
    }),
  );
  assert.deepEqual(decision.headers, [
    ["X-A", "1"],
    ["X-A", "2"],
  ]);
  assert.deepEqual(decision.flags, { system: FLAG_SEEN | FLAG_FLAGGED, keywords: ["y", "z"] });
  assert.deepEqual(decision.metadata, { "plugin:a:k": 1, "plugin:b:k": 2 });
});

test("a failure follows its policy: reject, tempfail, or allow with its marks", () => {
  assert.deepEqual(merged([], failure("a", "reject")).reply, {
    code: 550,
    enhanced: "5.7.1",
    text: "Message rejected by policy",
  });
  assert.deepEqual(merged([], failure("a", "tempfail")).reply, {
    code: 451,
    enhanced: "4.7.1",
    text: "Please try again later",
  });
  const allowed = merged([], failure("a", "allow"), failure("b", "allow"));
  assert.equal(allowed.action, "deliver");
  assert.deepEqual(allowed.headers, [
    ["X-MaiRust-Skipped", "a"],
    ["X-MaiRust-Skipped", "b"],
  ]);
  assert.deepEqual(allowed.tags, ["mairust:unchecked"]);
});

test("the decision says whose it is: the first of the strongest, with its words; a policy has none", () => {
  const said = (...outcomes: Parameters<typeof merged>[1][]) => merged([], ...outcomes).by;
  const reject = (hook: string) =>
    answer(hook, { action: "reject", reply: reply(550, hook), reason: `reason of ${hook}` });
  const by = (name: string, pluginId: string, reason?: string) => ({ priority: 100, name, pluginId, reason });
  assert.deepEqual(said(reject("a"), reject("b")), by("a", "com.example.a", "reason of a"));
  assert.deepEqual(said(failure("t", "tempfail"), reject("b")), by("b", "com.example.b", "reason of b"));
  assert.deepEqual(said(failure("h", "hold"), answer("x", {})), by("h", "p", undefined));
  assert.equal(said(answer("x", { reason: "fine" }), failure("y", "allow")), undefined);
});

test("a failure with the policy hold holds, and anything stronger outranks it", () => {
  assert.deepEqual(
    [merged([], failure("a", "hold")).action, merged([], failure("a", "hold")).reply],
    ["hold", undefined],
  );
  assert.equal(merged([], failure("a", "hold"), failure("b", "tempfail")).action, "tempfail");
});

test("texts to append keep their order, blind recipients are united; both go with a refusal", () => {
  const outbound = (hook: string, text: string, ...addBcc: string[]) =>
    answer(hook, { appendText: { plain: text, html: "" }, addBcc });
  const both = [outbound("a", "1", "x@a", "y@a"), outbound("b", "2", "y@a")];
  const decision = merged([], ...both);
  assert.deepEqual(
    [decision.appendText.map(({ plain }) => plain), decision.addBcc],
    [
      ["1", "2"],
      ["x@a", "y@a"],
    ],
  );
  assert.deepEqual(decision.provenance[0]?.changes, ["append_text", "recipients"]);
  const refused = merged([], ...both, failure("c", "tempfail"));
  assert.deepEqual([refused.appendText, refused.addBcc], [[], []]);
});

test("what several recipients are shown is the union, in the order of the chain, each hook once", () => {
  const earlier = [{ plugin_id: "p", hook: "before", changes: ["tags"] }];
  const of = (...outcomes: Array<Parameters<Merge["add"]>[0]>) => {
    const merge = new Merge(["old"], earlier);
    for (const outcome of outcomes) merge.add(outcome);
    return merge;
  };
  const tags = (hook: string, priority: number, change: Partial<CheckedAnswer>) => ({
    ...answer(hook, change),
    place: { priority, name: hook },
  });
  const c = tags("c", 3, { tagsAdd: ["c"] });
  const shown = Merge.shown([
    of(tags("b", 2, { tagsAdd: ["b"], tagsRemove: ["old"] }), c),
    of(tags("a", 1, { tagsAdd: ["a"] }), c),
  ]);
  assert.deepEqual(shown.tags, ["b", "c", "old", "a"]);
  assert.deepEqual(
    shown.provenance.map(({ hook }) => hook),
    ["before", "a", "b", "c"],
  );
});

test("a held message takes along what was changed up to the hold, and by those that ran together with it", () => {
  const merge = new Merge([]);
  merge.add(answer("a", { action: "hold", tagsAdd: ["a"] }));
  merge.add(answer("b", { tagsAdd: ["b"] }));
  merge.endGroup();
  merge.add(answer("c", { tagsAdd: ["c"], headers: [["X-C", "1"]] }));
  merge.endGroup();
  const { action, tags, headers, provenance } = merge.finish();
  assert.deepEqual([action, tags, headers, provenance.length], ["hold", ["a", "b"], [], 2]);
  assert.deepEqual(merge.tags, ["a", "b", "c"], "hooks that follow see all of it");
});
