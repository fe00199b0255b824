/** Holding mail: durable with its keys, kept from the collector, ended in every way there is. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import { DELIVER } from "../../../src/core/merge.ts";
import { collectBlobs } from "../../../src/store/blob-gc.ts";
import { expireHolds, forgetHolds, recoverHolds } from "../../../src/store/holds-admin.ts";
import { silentLog } from "../../lib/database.ts";
import { ADDRESS, atMilter, type HeldMailRig, openHeldMail } from "./held-mail.ts";

let rig: HeldMailRig;
before(async () => {
  rig = await openHeldMail();
});
after(() => rig.stop());

const TEXT = "From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n";
let texts = 0;
const text = () => `X-N: ${texts++}\r\n${TEXT}`;

const collect = () =>
  collectBlobs({ db: rig.db, blobs: rig.blobs, log: silentLog, orphans: false, unusedS: 0 });

async function openHolds(): Promise<readonly string[]> {
  const page = await rig.admin.list(
    { account: undefined, state: undefined, hook: undefined },
    { limit: 200 },
  );
  return page.items.map(({ id }) => id);
}

test("mail held at LMTP twice is one hold; the redelivery is known to the store", async () => {
  const message = await rig.message(text());
  const hold = await rig.atLmtp();
  const [first] = await rig.holds.hold(message, [hold]);
  assert.equal(first?.already, undefined);
  const again = { ...(await rig.message(text())), queueId: message.queueId, blob: message.blob };
  const [second] = await rig.holds.hold(again, [hold]);
  assert.deepEqual(second, { heldId: first?.heldId, already: message.messageId });
  assert.equal(await rig.hasMessage(again.messageId), false);
  const account = await rig.accountOf();
  const store = rig.storeOver(rig.db);
  const known = await store.alreadyDelivered(message.queueId, message.blob.digest, [account]);
  assert.equal(known.get(account), message.messageId);
  const target = { accountId: account, recipient: ADDRESS, mailbox: "INBOX", ifMissing: "inbox" } as const;
  const [result] = await store.deliver({
    ...again,
    targets: [
      {
        ...target,
        flags: { system: 0, keywords: [] },
        internalDate: new Date(),
        prefix: Buffer.alloc(0),
        metadata: {},
        exactlyOnce: true,
        events: [],
      },
    ],
  });
  assert.deepEqual(result, { kind: "duplicate", messageId: message.messageId });
  assert.deepEqual(await rig.kinds(message.messageId), ["held"]);
});

test("mail held at the milter twice under one queue id is one hold; under another it is another", async () => {
  const message = await rig.message(text());
  const [first] = await rig.holds.hold(message, [atMilter(["a@example.test", "b@example.test"])]);
  const again = { ...message, messageId: (await rig.message(text())).messageId };
  const [second] = await rig.holds.hold(again, [atMilter(["a@example.test"])]);
  assert.equal(second?.already, message.messageId);
  assert.equal(second?.heldId, first?.heldId);
  const other = { ...again, queueId: rig.newId() };
  const [third] = await rig.holds.hold(other, [atMilter(["a@example.test"])]);
  assert.equal(third?.already, undefined);
});

test("at the milter a message has a hold for each decision, and each ends by itself", async () => {
  const message = await rig.message(text());
  const holds = [atMilter(["a@example.test"]), atMilter(["b@example.test", "c@example.test"])];
  const first = await rig.holds.hold(message, holds);
  assert.equal(new Set(first.map(one => one.heldId)).size, 2);
  const again = await rig.holds.hold(message, holds);
  assert.deepEqual(
    again,
    first.map(({ heldId }) => ({ heldId, already: message.messageId })),
  );
  const [a, b] = first.map(one => one.heldId);
  await rig.admin.end(a ?? "", "deleted", "test", { dryRun: false });
  assert.equal(await rig.hasMessage(message.messageId), true);
  await rig.admin.end(b ?? "", "deleted", "test", { dryRun: false });
  assert.equal(await rig.hasMessage(message.messageId), false);
});

test("two nodes that hold the same delivery at a time make one hold", async () => {
  const message = await rig.message(text());
  const hold = await rig.atLmtp();
  const before = (await openHolds()).length;
  const results = await Promise.all(
    Array.from({ length: 8 }, async () => {
      const one = { ...message, messageId: (await rig.message(text())).messageId };
      return (await rig.holds.hold(one, [hold]))[0];
    }),
  );
  assert.equal(results.filter(result => result?.already === undefined).length, 1);
  assert.equal(new Set(results.map(result => result?.heldId)).size, 1);
  assert.equal((await openHolds()).length, before + 1);
});

test("a message is stored for one account and held for another, in any order", async () => {
  await rig.db
    .query`insert into accounts (domain, local_part, address) values ('example.test', 'second', 'second@example.test')`;
  const message = await rig.message(text());
  const [held] = await rig.holds.hold(message, [
    await rig.atLmtp({
      account: { id: await rig.accountOf("second@example.test"), address: "second@example.test" },
    }),
  ]);
  const store = rig.storeOver(rig.db);
  const target = {
    accountId: await rig.accountOf(),
    recipient: ADDRESS,
    mailbox: "INBOX",
    ifMissing: "inbox",
    flags: { system: 0, keywords: [] },
    internalDate: new Date(),
    prefix: Buffer.alloc(0),
    metadata: {},
    exactlyOnce: true,
    events: [],
  } as const;
  const [stored] = await store.deliver({ ...message, targets: [target] });
  assert.equal(stored?.kind, "stored");
  await rig.admin.end(held?.heldId ?? "", "deleted", "test", { dryRun: false });
  assert.equal(await rig.hasMessage(message.messageId), true);
  assert.equal((await rig.inMailboxes(message.messageId)).length, 1);
});

test("a held message and its blob outlive the collector; they go after the hold has ended", async () => {
  const message = await rig.message(text());
  const { digest } = message.blob;
  const [held] = await rig.holds.hold(message, [atMilter(["a@example.test"])]);
  await rig.db
    .query`update blobs set touched_at = now() - interval '99 days' where digest = decode(${digest}, 'hex')`;
  await collect();
  assert.equal(await rig.hasMessage(message.messageId), true);
  assert.ok(existsSync(rig.fileOf(digest)));
  await rig.admin.end(held?.heldId ?? "", "deleted", "test", { dryRun: false });
  assert.equal(await rig.hasMessage(message.messageId), false);
  assert.ok(existsSync(rig.fileOf(digest)), "a day is left to whoever delivers the same bytes");
  await rig.db
    .query`update blobs set touched_at = now() - interval '99 days' where digest = decode(${digest}, 'hex')`;
  await collect();
  assert.equal(existsSync(rig.fileOf(digest)), false);
  assert.deepEqual(await rig.kinds(message.messageId), ["held", "hold_ended"]);
});

test("bytes that are being collected when they are held are revived, or the sender comes again", async () => {
  const message = await rig.message(text());
  const { digest } = message.blob;
  const [held] = await rig.holds.hold(message, [atMilter(["a@example.test"])]);
  await rig.admin.end(held?.heldId ?? "", "deleted", "test", { dryRun: false });
  await rig.db.query`update blobs set claimed_at = now() where digest = decode(${digest}, 'hex')`;
  const again = { ...message, queueId: rig.newId() };
  const [revived] = await rig.holds.hold(again, [atMilter(["a@example.test"])]);
  assert.equal(revived?.already, undefined);
  await rig.admin.end(revived?.heldId ?? "", "deleted", "test", { dryRun: false });
  await rig.db
    .query`update blobs set touched_at = now() - interval '99 days' where digest = decode(${digest}, 'hex')`;
  await collect();
  const late = { ...message, queueId: rig.newId() };
  await assert.rejects(rig.holds.hold(late, [atMilter(["a@example.test"])]), { code: "store_unavailable" });
  assert.equal(await rig.hasMessage(message.messageId), false);
});

test("ending a hold: a dry run changes nothing, twice is refused", async () => {
  const message = await rig.message(text());
  const [held] = await rig.holds.hold(message, [atMilter(["a@example.test"])]);
  const id = held?.heldId ?? "";
  const tried = await rig.admin.end(id, "deleted", "test", { dryRun: true });
  assert.equal(tried.state, "deleted");
  assert.equal((await rig.admin.get(id)).state, "held");
  await rig.admin.end(id, "rejected", "test", { dryRun: false });
  assert.equal((await rig.admin.get(id)).endedBy, "test");
  await assert.rejects(rig.admin.end(id, "deleted", "test", { dryRun: false }), { code: "invalid_state" });
  await assert.rejects(rig.admin.get("nonsense"), { code: "not_found" });
});

test("held mail expires after its days, is recorded, and is forgotten later", async () => {
  const [old, young] = [await rig.message(text()), await rig.message(text())];
  const [held] = await rig.holds.hold(old, [atMilter(["a@example.test"])]);
  const [kept] = await rig.holds.hold(young, [atMilter(["a@example.test"])]);
  await rig.db
    .query`update holds set expires_at = now() - interval '1 second' where id = ${held?.heldId ?? ""}::uuid`;
  const ended: string[] = [];
  for await (const some of expireHolds(rig.db)) ended.push(...some.map(one => one.id));
  assert.deepEqual(ended, [held?.heldId]);
  assert.equal(await rig.hasMessage(old.messageId), false);
  assert.equal((await rig.admin.get(kept?.heldId ?? "")).state, "held");
  assert.deepEqual(await rig.kinds(old.messageId), ["held", "hold_ended"]);
  await rig.db
    .query`update holds set ended_at = now() - interval '91 days' where id = ${held?.heldId ?? ""}::uuid`;
  assert.equal(await forgetHolds(rig.db, 90), 1);
});

test("an account that goes takes what is held for it along", async () => {
  await rig.db
    .query`insert into accounts (domain, local_part, address) values ('example.test', 'leaver', 'leaver@example.test')`;
  const account = { id: await rig.accountOf("leaver@example.test"), address: "leaver@example.test" };
  const message = await rig.message(text());
  const [held] = await rig.holds.hold(message, [await rig.atLmtp({ account })]);
  await rig.removeAccount("leaver@example.test");
  const record = await rig.admin.get(held?.heldId ?? "");
  assert.deepEqual([record.state, record.account], ["deleted", "leaver@example.test"]);
  assert.equal(await rig.hasMessage(message.messageId), false);
  await assert.rejects(
    rig.holds.hold({ ...message, queueId: rig.newId() }, [await rig.atLmtp({ account })]),
    {
      code: "store_unavailable",
    },
  );
});

test("a release whose process is gone is held again, and says so", async () => {
  const [held] = await rig.holds.hold(await rig.message(text()), [atMilter(["a@example.test"])]);
  const id = held?.heldId ?? "";
  await rig.holdStore().take(id);
  await assert.rejects(rig.holdStore().take(id), { code: "invalid_state" });
  assert.equal(await recoverHolds(rig.db), 0);
  await rig.db.query`update holds set lease_until = now() - interval '1 second' where id = ${id}::uuid`;
  assert.equal(await recoverHolds(rig.db), 1);
  const record = await rig.admin.get(id);
  assert.equal(record.state, "held");
  assert.match(record.problem ?? "", /interrupted/u);
});

test("lists page through, and filter by account, state and hook", async () => {
  const mine = await rig.atLmtp({ by: { priority: 1, name: "paging", pluginId: "p", reason: undefined } });
  const ids: string[] = [];
  for (let i = 0; i < 5; i++) {
    const [held] = await rig.holds.hold(await rig.message(text()), [mine]);
    ids.unshift(held?.heldId ?? "");
  }
  const filter = { account: ADDRESS, state: undefined, hook: "paging" } as const;
  const found: string[] = [];
  let after: string | undefined;
  do {
    const page = await rig.admin.list(filter, { limit: 2, ...(after === undefined ? {} : { after }) });
    found.push(...page.items.map(one => one.id));
    after = page.next;
  } while (after !== undefined);
  assert.deepEqual(found, ids);
  assert.deepEqual((await rig.admin.list({ ...filter, state: "released" }, { limit: 10 })).items, []);
});

test("a one-time id is taken once, and not after its time", async () => {
  const [held] = await rig.holds.hold(await rig.message(text()), [atMilter(["a@example.test"])]);
  const issue = () =>
    rig
      .holdStore()
      .issueToken(held?.heldId ?? "", "pre_receive", [
        { recipient: "a@example.test", orcpt: "", decision: DELIVER },
      ]);
  const token = await issue();
  const all = await Promise.all(Array.from({ length: 6 }, () => rig.submissions.take(token, "4Q", [])));
  const taken = all.filter(one => one !== undefined);
  assert.equal(taken.length, 1);
  assert.equal(taken[0]?.point, "pre_receive");
  assert.equal(taken[0]?.verdicts[0]?.decision.action, "deliver");
  assert.equal(await rig.submissions.take("x".repeat(32), "4Q", []), undefined);
  assert.equal(await rig.submissions.take("", "4Q", []), undefined);
  const late = await issue();
  await rig.db.query`update submissions set expires_at = now() - interval '1 second'`;
  assert.equal(await rig.submissions.take(late, "4Q", []), undefined);
});
