import assert from "node:assert/strict";
import { test } from "node:test";
import { DELIVER } from "../../../src/core/merge.ts";
import type { FinalAction, HookDecision } from "../../../src/core/ports/hooks.ts";
import { combineInbound, combineOutbound } from "../../../src/delivery/combine-verdicts.ts";

const decision = (action: FinalAction, change: Partial<HookDecision> = {}): HookDecision => ({
  ...DELIVER,
  action,
  ...change,
});
const verdicts = (...decisions: readonly HookDecision[]) =>
  decisions.map((one, i) => ({ recipient: `r${i}@a.test`, orcpt: "", decision: one }));

const TEXT = { plain: "bye", html: "" };

const ACTIONS = ["deliver", "hold", "tempfail", "reject"] as const;

test("inbound: an action is done here when it is that of all recipients; all pairs", () => {
  const alone = { deliver: "accept", hold: "hold", tempfail: "refuse", reject: "refuse" } as const;
  for (const one of ACTIONS) {
    for (const other of ACTIONS) {
      const combined = combineInbound(verdicts(decision(one), decision(other)));
      assert.equal(combined.kind, one === other ? alone[one] : "accept", `${one}, ${other}`);
      if (combined.kind !== "accept") continue;
      assert.equal(combined.uniform, one === other);
      assert.deepEqual(
        combined.carried.map(verdict => verdict.decision.action),
        one === other ? [] : [one, other],
      );
    }
  }
});

test("inbound: the first reply is the message's", () => {
  const reply = (text: string) => ({ code: 550, enhanced: "5.7.1", text });
  const combined = combineInbound(
    verdicts(decision("reject", { reply: reply("one") }), decision("reject", { reply: reply("two") })),
  );
  assert.equal(combined.kind === "refuse" && combined.decision.reply?.text, "one");
});

test("inbound: fields that are the same for all are added here, and are not carried", () => {
  const headers = [["X-A", "1"]] as const;
  const same = combineInbound(verdicts(decision("deliver", { headers }), decision("deliver", { headers })));
  assert.deepEqual(same, { kind: "accept", headers, addBcc: [], appendText: [], carried: [], uniform: true });
  const tagged = decision("deliver", { headers, tags: ["t"] });
  const differ = combineInbound(verdicts(tagged, decision("deliver", { headers })));
  assert.ok(differ.kind === "accept");
  assert.deepEqual(differ.headers, headers);
  assert.equal(differ.uniform, false);
  assert.deepEqual(
    differ.carried.map(one => one.decision.headers),
    [[], []],
  );
  const [other, refused] = [
    decision("deliver", { headers: [["X-B", "1"]] }),
    decision("reject", { headers }),
  ];
  for (const second of [other, refused]) {
    const carried = combineInbound(verdicts(tagged, second));
    assert.ok(carried.kind === "accept");
    assert.deepEqual(carried.headers, []);
    assert.deepEqual(carried.carried[0]?.decision.headers, headers);
  }
});

test("inbound: whatever LMTP has to apply is carried", () => {
  for (const change of [
    { tags: ["t"] },
    { metadata: { "plugin:x:k": 1 } },
    { flags: { system: 1, keywords: [] } },
    { flags: { system: 0, keywords: ["k"] } },
    { folder: "Junk" },
    { provenance: [{ plugin_id: "x", hook: "h", changes: ["headers"] }] },
  ]) {
    const combined = combineInbound(verdicts(decision("deliver", change), decision("deliver", change)));
    assert.ok(combined.kind === "accept");
    assert.deepEqual([combined.carried.length, combined.uniform], [2, true], JSON.stringify(change));
  }
});

test("outbound: the strongest action is everybody's; all pairs", () => {
  for (const one of ACTIONS) {
    for (const other of ACTIONS) {
      const combined = combineOutbound(verdicts(decision(one), decision(other)));
      const strongest = ACTIONS[Math.max(ACTIONS.indexOf(one), ACTIONS.indexOf(other))];
      const kind = strongest === "deliver" ? "accept" : strongest === "hold" ? "hold" : "refuse";
      assert.equal(combined.kind, kind, `${one}, ${other}`);
      if (combined.kind === "refuse") assert.equal(combined.decision.action, strongest);
    }
  }
});

test("outbound: fields and blind recipients of all are added once", () => {
  const [a, b] = [
    ["X-A", "1"],
    ["X-B", "1"],
  ] as const;
  const combined = combineOutbound(
    verdicts(
      decision("deliver", { headers: [a], addBcc: ["x@a.test"], appendText: [TEXT] }),
      decision("deliver", { headers: [a, b], addBcc: ["x@a.test", "y@a.test"], appendText: [{ ...TEXT }] }),
    ),
  );
  assert.deepEqual(combined, {
    kind: "accept",
    headers: [a, b],
    addBcc: ["x@a.test", "y@a.test"],
    appendText: [TEXT],
    carried: [],
    uniform: true,
  });
});
