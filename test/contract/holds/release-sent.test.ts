/** What lies in the sender's Sent folder when mail that was held is let go: what was sent, once. */
import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { blobDigest, type MessageId, messageId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import type { NewHold } from "../../../src/core/ports/holds.ts";
import type { HookDecision } from "../../../src/core/ports/hooks.ts";
import { ADDRESS, atMilter, BY, type HeldMailRig, openHeldMail, startMta } from "./held-mail.ts";
import { ask, TEXT } from "./release-parts.ts";

let rig: HeldMailRig;
before(async () => {
  rig = await openHeldMail();
});
after(() => rig.stop());

test("mail of send is signed when it is let go, and its sender's Sent has it once, also when it goes in parts", async t => {
  const mta = await startMta(t);
  const message = await rig.message(`X-N: signed\r\n${TEXT}`, { queueId: "", mailFrom: ADDRESS });
  const hold = (to: string): NewHold =>
    atMilter([to], { point: "pre_send", authUser: ADDRESS, reason: `for ${to}` });
  const results = await rig.holds.hold(message, [hold("x@far.test"), hold("y@far.test")]);
  for (const { heldId } of results) await rig.releases(undefined, mta.server).release(ask(heldId));
  assert.equal(mta.taken.length, 2);
  const domain = ADDRESS.split("@")[1];
  for (const { text } of mta.taken)
    assert.match(text, new RegExp(`^X-MaiRust-Submit: \\S+\r\nDKIM-Signature: d=${domain}\r\nX-N:`, "u"));
  assert.deepEqual(await rig.inMailboxes(message.messageId), ["Sent/1"]);
});

/** What lies in the sender's Sent, newest first. */
async function inSent(): Promise<ReadonlyArray<{ readonly id: MessageId; readonly text: string }>> {
  const rows = await rig.db.query<{ id: string; prefix: Uint8Array; digest: string }>`
    select e.message_id as id, e.prefix, encode(m.blob_digest, 'hex') as digest
    from entries e join messages m using (message_id) join mailboxes b on b.id = e.mailbox_id
    where b.name = 'Sent' order by e.uid desc`;
  return Promise.all(
    rows.map(async ({ id, prefix, digest }) => {
      const chunks: Uint8Array[] = [prefix];
      for await (const chunk of rig.blobs.get(blobDigest(digest))) chunks.push(chunk);
      return { id: messageId(id), text: Buffer.concat(chunks).toString("latin1") };
    }),
  );
}

test("the copy in Sent is what was sent: with the fields and the text that hooks put in, and signed", async t => {
  const mta = await startMta(t);
  const text = `X-N: edited\r\nFrom: ${ADDRESS}\r\nContent-Type: text/plain\r\n\r\nbody\r\n`;
  const message = await rig.message(text, { queueId: "", mailFrom: ADDRESS });
  const wanted: Partial<HookDecision> = {
    headers: [["X-Footer", "yes"]],
    appendText: [{ plain: "-- \nA company\n", html: "" }],
    addBcc: ["archive@example.test"],
  };
  const hold = (to: string, decision: Partial<HookDecision>): NewHold =>
    atMilter([to], { point: "pre_send", decision: { ...DELIVER, action: "hold", by: BY, ...decision } });
  const holds = [hold("x@far.test", wanted), hold("y@far.test", wanted)];
  const [first, second] = await rig.holds.hold(message, holds);
  await rig.releases(undefined, mta.server).release(ask(first?.heldId ?? ""));
  const [mail] = mta.taken;
  const [, token = "", sent = ""] = /^X-MaiRust-Submit: (\S+)\r\n([\s\S]*)$/u.exec(mail?.text ?? "") ?? [];
  assert.match(
    sent,
    /^DKIM-Signature: [^\r]+\r\nX-Footer: yes\r\nX-N: [\s\S]*\r\n\r\nbody\r\n-- \r\nA company\r\n$/u,
  );
  const taken = await rig.submissions.take(token, "4EDITED", []);
  assert.deepEqual(
    taken?.verdicts.map(({ decision }) => [decision.headers, decision.appendText, decision.addBcc]),
    [[[], [], ["archive@example.test"]]],
    "the milter adds recipients alone: the rest is there and signed",
  );
  const [copy] = await inSent();
  assert.equal(copy?.text, sent);
  assert.ok(copy !== undefined && copy.id !== message.messageId);
  assert.deepEqual(await rig.kinds(copy.id), ["stored", "released"]);
  assert.deepEqual(await rig.kinds(message.messageId), ["held", "held", "stored", "decision", "released"]);
  const copies = (await inSent()).length;
  await rig.releases(undefined, mta.server).release(ask(second?.heldId ?? ""));
  assert.equal((await inSent()).length, copies, "one copy, also when it goes in parts");
  assert.equal(await rig.hasMessage(message.messageId), false, "nobody has what was held any more");
  assert.equal(await rig.hasMessage(copy.id), true);
});

/** @returns what the answer and the timeline say of the copy */
async function releasedWithout(t: TestContext, name: string): Promise<readonly unknown[]> {
  const mta = await startMta(t);
  const message = await rig.message(`X-N: ${name}\r\n${TEXT}`, { queueId: "", mailFrom: ADDRESS });
  const held = atMilter(["x@far.test"], { point: "pre_send", authUser: ADDRESS });
  const [hold] = await rig.holds.hold(message, [held]);
  const { released, sentCopy } = await rig.releases(undefined, mta.server).release(ask(hold?.heldId ?? ""));
  assert.deepEqual([released.length, mta.taken.length], [1, 1], "it is out all the same");
  const events = await rig.db.query<{ copy: string | null }>`
    select x -> 'data' ->> 'sent_copy' as copy from events, jsonb_array_elements(list) as x
    where message_id = ${message.messageId}::uuid and x ->> 'kind' = 'released'`;
  return [sentCopy, ...events.map(({ copy }) => copy)];
}

test("who gets no copy in Sent reads why in the answer and in the timeline", async t => {
  assert.deepEqual(await releasedWithout(t, "room"), ["stored", "stored"]);
  await rig.db.query`update accounts set quota_bytes = 1 where local_part = 'user'`;
  assert.deepEqual(await releasedWithout(t, "full"), ["over_quota", "over_quota"]);
  await rig.db.query`update accounts set quota_bytes = null where local_part = 'user'`;
  const locked = await rig.db.begin(async tx => {
    await tx.query`select id from accounts where local_part = 'user' for update`;
    return releasedWithout(t, "locked");
  });
  assert.deepEqual(locked, ["failed", "failed"]);
});
