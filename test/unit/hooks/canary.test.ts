/** Mode canary: which messages, the same ones every time, and for whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { HookDecisions, HookPoint, MessageFacts } from "../../../src/core/ports/hooks.ts";
import { createMessageShare } from "../../../src/hooks/canary.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { SeededRandom } from "../../lib/random.ts";
import { awake } from "./awake.ts";
import { factsOf } from "./message.ts";
import { type Behaviour, EVERYTHING, pluginOf, rigOf, rowOf } from "./rig.ts";

const KEY = Buffer.from("a key of all nodes");
const share = createMessageShare(KEY);
const mail = (id: string, more = "") => `${more}Message-ID: <${id}@sender.example>\nSubject: x\n\nbody`;

test("the share of the messages is the one asked for, and a larger one holds all of a smaller one", () => {
  const random = new SeededRandom(7);
  const count = 5000;
  const shares = Array.from({ length: count }, (_, i) => share(factsOf(mail(`${i}.${random.next()}`)), "p"));
  assert.ok(shares.every(one => one >= 0 && one < 100));
  for (const percent of [1, 10, 25, 50, 90, 100]) {
    const part = (shares.filter(one => one < percent).length / count) * 100;
    // Four standard deviations of a binomial.
    const bound = 4 * Math.sqrt((percent * (100 - percent)) / count);
    assert.ok(Math.abs(part - percent) <= bound, `${percent} %: ${part}`);
  }
  assert.equal(shares.filter(one => one < 0).length, 0);
});

test("a message keeps its side over points, recipients, ids, queue ids, nodes and what is put before its header", () => {
  for (let i = 0; i < 200; i++) {
    const first = share(factsOf(mail(`m${i}`), { queueId: "4XyFirst" }), "p");
    const again = [
      share(
        factsOf(mail(`m${i}`, "Received: by us; now\nX-MaiRust-Trace: v1\n"), { queueId: "4XyAgain" }),
        "p",
      ),
      share(factsOf(mail(`m${i}`), { recipients: ["other@example.com"], mailFrom: "x@y.example" }), "p"),
      createMessageShare(KEY)(factsOf(`Message-Id:\n <m${i}@sender.example>\n\nother body`), "p"),
    ];
    assert.deepEqual(new Set(again), new Set([first]), String(i));
  }
});

test("without a Message-ID of the sender's the queue id tells, and without that the header", () => {
  const none = factsOf("Subject: x\n\nbody", { queueId: "4XyQueue1" });
  const byPostfix = factsOf(
    "Received: a\nMessage-Id: <20260301120000.4XyQueue1@mx.example>\nSubject: x\n\nbody",
    {
      queueId: "4XyQueue1",
    },
  );
  assert.equal(share(none, "p"), share(byPostfix, "p"));
  assert.notEqual(share(none, "p"), share(factsOf("Subject: x\n\nbody", { queueId: "4XyQueue2" }), "p"));
  // `postsuper -r`: in the queue again, under another id.
  assert.equal(share({ ...byPostfix, queueId: "4XyRequeued" }, "p"), share(none, "p"));
  // A foreign Postfix made it: it is the sender's then.
  const foreign = factsOf("Message-Id: <20260301120000.4XyQueue1@a.example>\n\nb", { queueId: "4XyOther" });
  assert.equal(share(foreign, "p"), share({ ...foreign, queueId: "4XyThird" }, "p"));
  const bare = (text: string) => share(factsOf(text, { queueId: "" }), "p");
  assert.equal(bare("Subject: a\n\nx"), bare("Subject: a\n\nx"));
  assert.notEqual(bare("Subject: a\n\nx"), bare("Subject: b\n\nx"));
});

test("plugins see different parts of the mail, and a sender without the key cannot tell which", () => {
  const ids = Array.from({ length: 400 }, (_, i) => factsOf(mail(`m${i}`)));
  const inPart = (of: (facts: MessageFacts) => number) => ids.map(facts => of(facts) < 50);
  const agree = (a: boolean[], b: boolean[]) => a.filter((one, i) => one === b[i]).length / a.length;
  const own = inPart(facts => share(facts, "p"));
  for (const other of [
    inPart(facts => share(facts, "q")),
    inPart(facts => createMessageShare(Buffer.from("another key"))(facts, "p")),
  ])
    assert.ok(Math.abs(agree(own, other) - 0.5) < 0.15);
});

const reject: Behaviour = ({ mode }) => ({ action: "reject", reason: mode });

async function run(
  row: Parameters<typeof rowOf>[1],
  facts: Partial<MessageFacts>,
  source = mail("x"),
  point: HookPoint = "pre_receive",
): Promise<{ readonly actions: Record<string, string>; readonly calls: readonly unknown[] }> {
  const plugin = pluginOf("a", reject, { ...EVERYTHING, decide: ["reject"] });
  const rig = rigOf([plugin], [rowOf("a", { point, mode: "canary", ...row })], { canaryKey: KEY });
  const deadline = deadlineAfter(5000);
  const decisions: HookDecisions = await awake(rig.runner.run(point, factsOf(source, facts), deadline));
  deadline.dispose();
  const events = [...decisions.events, ...((await decisions.late) ?? [])];
  return {
    actions: Object.fromEntries([...decisions.each].map(([to, { action }]) => [to, action])),
    calls: events.map(({ data }) => [data.mode, data.configured, data.recipients]),
  };
}

test("a canary applies to its part and is in shadow for the rest", async () => {
  for (const [percent, action, mode] of [
    [100, "reject", "enforce"],
    [0, "deliver", "shadow"],
  ] as const) {
    const { actions, calls } = await run({ canary_percent: percent }, { recipients: ["a@x.example"] });
    assert.deepEqual(actions, { "a@x.example": action });
    assert.deepEqual(calls, [[mode, "canary", 1]]);
  }
  for (let i = 0; i < 40; i++) {
    const source = mail(`part${i}`);
    const inPart = share(factsOf(source), "a") < 50;
    const { actions } = await run({ canary_percent: 50 }, { recipients: ["a@x.example"] }, source);
    assert.equal(actions["a@x.example"] === "reject", inPart, String(i));
  }
});

test("canary_for names whose mail is meant: recipients of one message part, each call is told its mode", async () => {
  const recipients = ["Me@x.example", "you@x.example", "all@y.example"].map(one => one.toLowerCase());
  const whom = { canary_for: ["ME@x.example", "y.example"], canary_percent: 100 };
  const { actions, calls } = await run(whom, { recipients, account: undefined });
  assert.deepEqual(actions, {
    "me@x.example": "reject",
    "you@x.example": "deliver",
    "all@y.example": "reject",
  });
  assert.deepEqual(calls, [
    ["enforce", "canary", 2],
    ["shadow", "canary", 1],
  ]);
  const detail = await run(whom, { recipients: ["me+list@x.example"], account: undefined });
  assert.deepEqual(Object.values(detail.actions), ["reject"]);
});

test("a call for a whole domain is for those of one side only", async () => {
  const domain = ["a@x.example", "b@x.example", "c@x.example"];
  const row = { per_recipient: false, canary_for: ["a@x.example"] };
  for (const [one, mode, count] of [
    ["a@x.example", "enforce", 1],
    ["b@x.example", "shadow", 2],
  ] as const) {
    const facts = { recipients: [one], account: one, domainRecipients: domain };
    const { calls } = await run(row, facts, mail("x"), "pre_delivery");
    assert.deepEqual(calls, [[mode, "canary", count]]);
  }
});

test("of mail that is sent its sender says, and who is only observed is so in a canary too", async () => {
  const sent = {
    mailFrom: "me@x.example",
    authUser: "me@x.example",
    recipients: ["a@far.example", "b@far.example"],
  };
  const both = await run({ canary_for: ["me@x.example"] }, sent, mail("x"), "pre_send");
  assert.deepEqual(Object.values(both.actions), ["reject", "reject"]);
  const none = await run({ canary_for: ["a@far.example"] }, sent, mail("x"), "pre_send");
  assert.deepEqual(Object.values(none.actions), ["deliver", "deliver"]);
  const observed = { recipients: ["a@x.example"], observed: new Set(["a@x.example"]) };
  assert.deepEqual((await run({ canary_percent: 100 }, observed)).calls, [["shadow", "canary", 1]]);
});
