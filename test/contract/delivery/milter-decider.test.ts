/** What the milter is told: hooks with all recipients, domains in different stages, holds, edits, what is written. */

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import type { MairustError } from "../../../src/core/errors.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { HOLD, milterEnvelope, NO_SUBMISSIONS, REJECT, Rig, TEMPFAIL, TEXT, tagged, traceOf } from "./rig.ts";

let rig: Rig;
before(async () => {
  rig = await Rig.start();
});
after(() => rig?.stop());
beforeEach(() => {
  rig.hooks.decisions = {};
  rig.hooks.calls.length = 0;
  rig.hooks.wanted = { headers: true, body: true, hold: true };
  rig.holds.held.length = 0;
  rig.holds.error = undefined;
  rig.hooks.meanwhile = () => undefined;
  rig.submissions = NO_SUBMISSIONS;
});

const TO = ["taro@example.test", "jiro@example.test"];
const rows = async (queueId: string) =>
  rig.database.db.query<{
    point: string;
    uniform: boolean;
    list: { for: (readonly [string, string])[]; decision: { action: string } }[];
  }>`
    select point, uniform, list from verdicts where queue_id = ${queueId}`;
const written = async () => {
  const [row] = await rig.database.db.query<{ n: number }>`
    select (select count(*) from verdicts) + (select count(*) from events) as n`;
  return row?.n ?? 0;
};

test("without hooks nothing is kept and nothing is written; the field says that there is nothing", async () => {
  const before = await written();
  const decision = await rig.ask({ to: TO, content: "headers" });
  assert.equal(decision.kind, "accept");
  assert.match(traceOf(decision) ?? "", /^X-MaiRust-Trace: v1; id=[0-9a-f-]{36}\.n; q=Q1; /u);
  assert.equal(await written(), before);
  assert.deepEqual(rig.decider().needs(), {
    headers: true,
    body: false,
    hold: false,
    recipients: false,
    replaceBody: false,
    quarantine: false,
  });
});

test("mail to nobody of ours, to watched domains alone, and what is sent gets no field", async () => {
  for (const sent of [
    { to: ["x@elsewhere.test"] },
    { to: ["x@watched.test"] },
    { to: TO, direction: "outbound", from: "taro@example.test" } as const,
  ]) {
    assert.equal(traceOf(await rig.ask(sent)), undefined, sent.to[0]);
  }
  assert.notEqual(traceOf(await rig.ask({ to: ["x@elsewhere.test", "x@EXAMPLE.test."] })), undefined);
});

test("a message that the database cannot be asked about passes without hooks, and is deferred with them", async () => {
  const away = () => Promise.reject(new Error("away"));
  const decider = rig.decider({ directory: { findAccount: away, findDomain: away } });
  assert.deepEqual(await rig.ask({ to: TO }, decider), { kind: "accept", edits: [] });
  rig.hooks.decisions = { pre_receive: {} };
  await assert.rejects(rig.ask({ to: TO }, decider), /away/u);
});

test("what holds for all recipients is done at once: refused with the hook's words, deferred, held", async () => {
  rig.hooks.decisions = { pre_receive: { "*": REJECT } };
  assert.deepEqual(await rig.ask({ to: TO }), {
    kind: "refuse",
    code: 550,
    enhanced: "5.7.1",
    lines: ["not wanted"],
  });
  rig.hooks.decisions = { pre_receive: { "*": TEMPFAIL } };
  assert.deepEqual(await rig.ask({ to: TO }), {
    kind: "refuse",
    code: 451,
    enhanced: "4.7.1",
    lines: ["later"],
  });
  rig.hooks.decisions = { pre_receive: { "*": HOLD, jiro: { ...HOLD, tags: ["seen"] } } };
  assert.deepEqual(await rig.ask({ to: [...TO, "third@example.test"], queueId: "HELD" }), {
    kind: "discard",
  });
  assert.deepEqual(
    rig.holds.held.map(({ hold }) => hold.recipients.map(({ address }) => address.raw)),
    [["taro@example.test", "third@example.test"], ["jiro@example.test"]],
  );
  const [held] = rig.holds.held;
  assert.equal(held?.message.queueId, "HELD");
  assert.equal(held?.hold.point, "pre_receive");
  assert.equal(held?.hold.by?.name, "judge");
  assert.equal(held?.hold.reason, "because");
  const chunks: Buffer[] = [];
  assert.ok(held !== undefined);
  for await (const chunk of rig.blobs.get(held.message.blob.digest)) chunks.push(Buffer.from(chunk));
  assert.equal(Buffer.concat(chunks).toString(), TEXT, "all of it is in the blob store");
});

test("one watched or foreign recipient is enough: nothing is done to the message here", async () => {
  for (const other of ["x@watched.test", "x@elsewhere.test"]) {
    rig.hooks.decisions = { pre_receive: { "*": REJECT } };
    const queueId = `MIXED-${other}`;
    const decision = await rig.ask({ to: ["taro@example.test", other], queueId });
    assert.equal(decision.kind, "accept");
    assert.match(traceOf(decision) ?? "", /id=[0-9a-f-]{36}; q=MIXED/u);
    const [row] = await rows(queueId);
    assert.equal(row?.uniform, false);
    assert.deepEqual(
      row?.list.map(one => [one.for, one.decision.action]),
      [
        [[["taro@example.test", ""]], "reject"],
        [[[other, ""]], "deliver"],
      ],
    );
    assert.deepEqual([...(rig.hooks.calls.at(-1)?.facts.observed ?? [])], [other]);
  }
});

test("fields that all get are added here, others travel", async () => {
  const headers = [
    ["X-Spam", "yes"],
    ["X-Who", "たろう"],
  ] as const;
  rig.hooks.decisions = { pre_receive: { "*": { ...DELIVER, headers } } };
  const decision = await rig.ask({ to: TO, queueId: "SAME" });
  assert.ok(decision.kind === "accept");
  assert.deepEqual(decision.edits.slice(1), [
    { kind: "add_header", name: "X-Spam", value: "yes" },
    { kind: "add_header", name: "X-Who", value: "=?UTF-8?B?44Gf44KN44GG?=" },
  ]);
  assert.match(traceOf(decision) ?? "", /\.n; /u);
  rig.hooks.decisions = { pre_receive: { taro: { ...DELIVER, headers }, jiro: tagged("j") } };
  const mixed = await rig.ask({ to: TO, queueId: "DIFFER" });
  assert.equal(mixed.kind === "accept" && mixed.edits.length, 1);
  assert.equal((await rows("DIFFER")).length, 1);
});

test("hooks that need a body that was not asked for leave mail from outside to LMTP", async () => {
  rig.hooks.decisions = { pre_receive: { "*": REJECT } };
  const sent = { to: TO, content: "headers", text: "Subject: x\r\n\r\n", queueId: "BODY" } as const;
  for (const wanted of [
    { headers: true, body: true, hold: false },
    { headers: true, body: false, hold: true },
  ]) {
    rig.hooks.wanted = wanted;
    assert.deepEqual(await rig.ask(sent), { kind: "accept", edits: [] }, "no field: nobody has judged it");
  }
  assert.deepEqual(rig.hooks.calls, []);
  assert.deepEqual(await rows("BODY"), []);
  rig.hooks.wanted = { headers: true, body: false, hold: false };
  assert.equal((await rig.ask(sent)).kind, "refuse", "the header is enough for these");
});

test("where the body of sent mail is not here a hold becomes a temporary failure, and hooks read the header alone", async () => {
  rig.hooks.decisions = { pre_send: { "*": HOLD } };
  const decision = await rig.ask({
    to: TO,
    direction: "outbound",
    from: "taro@example.test",
    content: "headers",
    text: "Subject: x\r\n\r\n",
  });
  assert.deepEqual(decision, { kind: "refuse", code: 451, enhanced: "4.7.1", lines: ["try again"] });
  assert.deepEqual(rig.holds.held, []);
  const facts = rig.hooks.calls.at(-1)?.facts;
  assert.equal(facts?.content.digest, "");
  assert.equal(Buffer.from(facts?.header ?? []).toString(), "Subject: x\r\n\r\n");
  rig.hooks.decisions = { pre_receive: {} };
  rig.hooks.wanted = { headers: true, body: false, hold: false };
  const message = rig.decider().open(milterEnvelope({ to: TO }));
  assert.equal(message.full, false);
  await message.write(Buffer.from("Subject: x\r\n"));
  await message.write(Buffer.from("From: a\r\n\r\n"));
  assert.equal(message.full, true, "a body that nobody reads is not asked for");
  await message.abort();
});

test("a hold that is not durable is no hold", async () => {
  rig.hooks.decisions = { pre_receive: { "*": HOLD } };
  rig.holds.error = new Error("the database is away");
  await assert.rejects(rig.ask({ to: TO }), /the database is away/u);
});

test("a message over the limit is refused while it comes", async () => {
  rig.hooks.decisions = { pre_receive: {} };
  await assert.rejects(
    rig.ask({ to: TO, text: `Subject: x\r\n\r\n${"x".repeat(1_000_001)}` }),
    (error: MairustError) => error.code === "message_too_large",
  );
});

test("what our users send: the sender's domain decides, the strongest verdict is everybody's, and LMTP learns of it", async () => {
  const sent = { to: [...TO, "x@elsewhere.test"], direction: "outbound", from: "Taro@Example.Test" } as const;
  rig.hooks.decisions = { pre_send: { jiro: REJECT, taro: tagged("t") } };
  assert.equal((await rig.ask({ ...sent, queueId: "S1" })).kind, "refuse");
  rig.hooks.decisions = { pre_send: { jiro: HOLD } };
  assert.equal((await rig.ask({ ...sent, queueId: "S2" })).kind, "discard");
  assert.equal(rig.holds.held.length, 2);
  for (const { hold } of rig.holds.held)
    assert.deepEqual([hold.by?.name, hold.authUser, hold.point], ["judge", "taro", "pre_send"]);
  const edits = { ...DELIVER, headers: [["X-A", "1"]] as const, addBcc: ["copy@example.test"] };
  rig.hooks.decisions = { pre_send: { jiro: edits, x: edits } };
  const decision = await rig.ask({ ...sent, queueId: "S3" });
  assert.deepEqual(decision, {
    kind: "accept",
    edits: [
      { kind: "add_header", name: "X-A", value: "1" },
      { kind: "add_recipient", address: "copy@example.test" },
    ],
  });
  assert.equal(await rig.verdicts.wasSubmitted("S3"), true);
  assert.equal(await rig.verdicts.wasSubmitted("S1"), false);
  const runs = rig.hooks.calls.length;
  rig.hooks.decisions = { pre_send: { "*": REJECT } };
  assert.equal((await rig.ask({ ...sent, from: "x@elsewhere.test" })).kind, "accept", "not one of ours");
  assert.equal(rig.hooks.calls.length, runs);
  // Whoever logs in with an address of ours cannot get past the hooks with another sender, or none.
  for (const [from, queueId] of [
    ["x@elsewhere.test", "S4"],
    ["", "S5"],
  ] as const)
    assert.equal(
      (await rig.ask({ ...sent, from, queueId, login: "taro@Example.Test" })).kind,
      "refuse",
      from,
    );
  await rig.ask({ ...sent, from: "x@watched.test" });
  assert.equal(rig.hooks.calls.at(-1)?.facts.observed.size, 3, "watched only");
});

test("what our users send their neighbours is not judged as from outside, also where no hook judges what is sent", async () => {
  const sent = { direction: "outbound", from: "taro@example.test" } as const;
  rig.hooks.decisions = { pre_receive: { "*": REJECT } };
  const runs = rig.hooks.calls.length;
  assert.deepEqual(await rig.ask({ ...sent, to: TO, queueId: "N1" }), { kind: "accept", edits: [] });
  assert.equal(await rig.verdicts.wasSubmitted("N1"), true);
  await rig.ask({ ...sent, to: ["x@elsewhere.test"], queueId: "N2" });
  assert.equal(await rig.verdicts.wasSubmitted("N2"), false, "it never comes back");
  rig.hooks.decisions = {};
  await rig.ask({ ...sent, to: TO, queueId: "N3" });
  assert.equal(await rig.verdicts.wasSubmitted("N3"), false, "nobody would ask");
  assert.equal(rig.hooks.calls.length, runs);
});

test("mail that the service submits itself is not judged again, and what was decided goes with it", async () => {
  rig.hooks.decisions = { pre_receive: { "*": REJECT } };
  const asked: string[] = [];
  rig.submissions = {
    async take(token, queueId) {
      asked.push(`${token} ${queueId}`);
      if (token !== "known") return undefined;
      const decision = { ...tagged("released"), headers: [["X-Was-Held", "yes"]] as const };
      return { point: "pre_receive", verdicts: [{ recipient: "taro@example.test", orcpt: "", decision }] };
    },
  };
  const sent = { to: ["taro@example.test"], queueId: "SUBMIT" };
  const decision = await rig.ask({ ...sent, reserved: [["X-MAIRUST-submit", " known"]] });
  assert.ok(decision.kind === "accept");
  assert.notEqual(traceOf(decision), undefined);
  assert.deepEqual(decision.edits[1], { kind: "add_header", name: "X-Was-Held", value: "yes" });
  assert.equal((await rows("SUBMIT")).length, 1);
  assert.equal((await rig.ask({ ...sent, reserved: [["X-MaiRust-Submit", "forged"]] })).kind, "refuse");
  const two = [
    ["X-MaiRust-Submit", "known"],
    ["X-MaiRust-Submit", "known"],
  ] as const;
  assert.equal((await rig.ask({ ...sent, reserved: two })).kind, "refuse", "which of them?");
  assert.deepEqual(asked, ["known SUBMIT", "forged SUBMIT"]);
});

test("when verdicts cannot be kept the message is not accepted", async () => {
  rig.hooks.decisions = { pre_receive: { taro: REJECT } };
  const verdicts = { ...rig.verdicts, save: () => Promise.reject(new Error("away")) };
  await assert.rejects(rig.ask({ to: TO }, rig.decider({ verdicts })), /away/u);
});

test("facts say that these are all recipients, and hooks leave time for what is written after them", async () => {
  rig.hooks.decisions = { pre_receive: { "*": tagged("t") } };
  await rig.ask({ to: [...TO, "x@watched.test"], queueId: "FACTS" });
  const call = rig.hooks.calls.at(-1);
  assert.equal(call?.facts.everyone, true);
  assert.ok((call?.remainingMs ?? 0) <= 15_000, "of 20 s");
});

test("a message that was answered meanwhile is not held, and nothing is kept of it", async () => {
  const alive = setInterval(() => undefined, 1000);
  for (const [queueId, decision] of [
    ["GONE-HELD", HOLD],
    ["GONE-TAGGED", tagged("t")],
  ] as const) {
    rig.hooks.decisions = { pre_receive: { "*": decision } };
    const message = rig.decider().open(milterEnvelope({ to: TO, queueId }));
    await message.write(Buffer.from(TEXT));
    rig.hooks.meanwhile = () => message.abort();
    const deadline = deadlineAfter(20_000);
    await assert.rejects(message.decide([], deadline), { code: "deadline" });
    deadline.dispose();
    assert.deepEqual(await rows(queueId), []);
  }
  clearInterval(alive);
  assert.deepEqual(rig.holds.held, []);
});

test("a thousand recipients cost one look for their domain, and one copy of the decision", async () => {
  const metadata = { "plugin:x:report": "x".repeat(4000) };
  rig.hooks.decisions = { pre_receive: { "*": { ...tagged("t"), metadata }, u7: REJECT } };
  const names: string[] = [];
  const { directory } = rig;
  const findDomain = (name: string) => {
    names.push(name);
    return directory.findDomain(name);
  };
  const decider = rig.decider({ directory: { findAccount: one => directory.findAccount(one), findDomain } });
  const to = Array.from({ length: 1000 }, (_, i) => `u${i}@example.test`);
  assert.equal((await rig.ask({ to, queueId: "MANY" }, decider)).kind, "accept");
  assert.deepEqual(names, ["example.test"]);
  const [row] = await rows("MANY");
  assert.deepEqual(
    row?.list.map(one => [one.for.length, one.decision.action]),
    [
      [999, "deliver"],
      [1, "reject"],
    ],
  );
});
