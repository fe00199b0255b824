/** Notices of held mail over a real database: who is told, how often, and that no notice makes another. */
import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import type { NewHold } from "../../../src/core/ports/holds.ts";
import type { OutgoingMail } from "../../../src/core/ports/outbox.ts";
import { tellOfHolds } from "../../../src/delivery/hold-notices.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { createHoldNotices } from "../../../src/store/hold-notices.ts";
import { expireHolds } from "../../../src/store/holds-admin.ts";
import { silentLog } from "../../lib/database.ts";
import { ADDRESS, ADMIN, atMilter, type HeldMailRig, openHeldMail } from "./held-mail.ts";

const BOSS = "boss@example.test";
let rig: HeldMailRig;
let sent: OutgoingMail[] = [];
let isAway = false;
let texts = 0;
before(async () => {
  rig = await openHeldMail();
});
after(() => rig.stop());
beforeEach(async () => {
  sent = [];
  isAway = false;
  await rig.db.run`delete from holds`;
  await rig.db.run`delete from hold_digests`;
});

/** Holds what an outbox holds: one mail for each key. */
async function tell(change: { readonly notifyOwner?: boolean; readonly approvers?: readonly string[] } = {}) {
  const { notifyOwner = true, approvers = [BOSS] } = change;
  await tellOfHolds({
    notices: createHoldNotices({ db: rig.db, newId: rig.newId }),
    outbox: {
      async queue(mail) {
        const already = sent.some(one => one.key === mail.key);
        if (!already) sent.push(mail);
        // Its answer is lost, or the process ends here.
        if (isAway) throw new Error("the outbox is away");
        return { id: "1", already };
      },
    },
    directory: new StoreDirectory(rig.db),
    notifyOwner: () => notifyOwner,
    approvers: () => approvers,
    canonical: raw => raw.toLowerCase(),
    hostname: "mail.example.test",
    log: silentLog,
    now: () => new Date(),
  });
}

async function hold(one: NewHold, mailFrom = "a@example.org", more = ""): Promise<string> {
  const message = await rig.message(`${more}Subject: plan\r\n\r\n${texts++}\r\n`, {
    mailFrom,
    subject: "the plan",
  });
  const [result] = await rig.holds.hold(message, [one]);
  return result?.heldId ?? "";
}

const outbound = (authUser = "user") => atMilter(["customer@example.org"], { point: "pre_send", authUser });
const to = () => sent.map(({ recipients }) => recipients[0]?.address.raw).sort();
const textTo = (address: string) => {
  const mail = sent.filter(({ recipients }) => recipients[0]?.address.raw === address).at(-1);
  assert.ok(mail?.content.kind === "bytes", address);
  const [header = "", body = ""] = Buffer.from(mail.content.bytes).toString().split("\r\n\r\n");
  return { header, body: Buffer.from(body, "base64").toString(), mail };
};
const hourLater = () => rig.db.run`update hold_digests set created_at = created_at - interval '61 minutes'`;

test("the account, or the sender, is told in a mail that nothing answers; who decides is told without the subject", async () => {
  await hold(await rig.atLmtp());
  const id = await hold(outbound(), ADDRESS);
  await tell();
  assert.deepEqual(to(), [BOSS, ADDRESS]);
  const owner = textTo(ADDRESS);
  assert.equal(owner.mail.mailFrom, "");
  assert.deepEqual([owner.mail.purpose, owner.mail.recipients[0]?.notify], ["notice", ["NEVER"]]);
  assert.match(owner.header, /^Auto-Submitted: auto-generated\r$/mu);
  assert.match(owner.header, /^Subject: Held mail: 2 messages\r$/mu);
  assert.match(
    owner.body,
    /subject: the plan[\s\S]*to customer@example\.org|to customer@example\.org[\s\S]*subject: the plan/u,
  );
  const decider = textTo(BOSS);
  assert.match(
    decider.body,
    new RegExp(`ID ${id}\r\n {2}from ${ADDRESS}\r\n {2}to customer@example\\.org`, "u"),
  );
  assert.doesNotMatch(decider.body, /the plan/u);
  await tell();
  assert.equal(sent.length, 2, "once");
});

test("an address gets one mail an hour, whatever is held, and a mail shows so many and counts the rest", async () => {
  await hold(await rig.atLmtp());
  await tell();
  for (let i = 0; i < 55; i++) await hold(await rig.atLmtp());
  await tell();
  assert.deepEqual(to(), [BOSS, ADDRESS], "the hour is not over");
  await hourLater();
  await tell();
  assert.equal(sent.length, 4);
  const { header, body } = textTo(ADDRESS);
  assert.match(header, /Subject: Held mail: 55 messages/u);
  assert.equal(body.match(/^\* held/gmu)?.length, 50);
  assert.match(body, /… and 5 more\./u);
});

test("nobody is told of what is automatic itself: a notice that is held makes no notice", async () => {
  await hold(await rig.atLmtp(), "");
  await hold(await rig.atLmtp(), "a@example.org", "Auto-Submitted: auto-generated\r\n");
  await tell();
  assert.deepEqual(sent, []);
  await hold(await rig.atLmtp(), "a@example.org", "Auto-Submitted: no\r\n");
  await tell();
  assert.equal(sent.length, 2);
});

test("a sender is never asked to decide about it, by address or by login", async () => {
  await hold(outbound(), BOSS);
  await tell({ notifyOwner: false });
  assert.deepEqual(sent, []);
  await hold(outbound(BOSS), ADDRESS);
  await tell({ notifyOwner: false });
  assert.deepEqual(sent, []);
  await hold(outbound("user"), "x@elsewhere.example");
  await tell();
  assert.deepEqual(to(), [BOSS], "an address that is not ours may be anybody's");
});

test("of mail held before delivery the accounts that it is for are told, and nobody elsewhere", async () => {
  await hold(atMilter(["USER@example.test", "x@elsewhere.example", "none@example.test"]));
  await tell({ approvers: [] });
  assert.deepEqual(to(), [ADDRESS]);
});

test("what expires is told to its owner; what was decided before anybody was told is no news", async () => {
  const id = await hold(await rig.atLmtp());
  await tell();
  await rig.db.run`update holds set expires_at = now() - interval '1 second' where id = ${id}::uuid`;
  for await (const _ of expireHolds(rig.db));
  await hourLater();
  await tell();
  assert.deepEqual(to(), [BOSS, ADDRESS, ADDRESS]);
  assert.match(textTo(ADDRESS).body, /nobody let it go in time/u);
  await hourLater();
  await rig.admin.end(await hold(await rig.atLmtp()), "deleted", ADMIN.name, { dryRun: false });
  await tell();
  assert.equal(sent.length, 3);
});

test("a mail that may not have been queued is queued again under its key, so that it is sent once", async () => {
  await hold(await rig.atLmtp());
  isAway = true;
  await assert.rejects(tell({ approvers: [] }));
  isAway = false;
  await tell({ approvers: [] });
  await tell({ approvers: [] });
  assert.equal(sent.length, 1);
  const [open] = await rig.db.query`select 1 as one from hold_digests where queued_at is null`;
  assert.equal(open, undefined);
});

test("two nodes at a time tell once", async () => {
  for (let i = 0; i < 5; i++) await hold(await rig.atLmtp());
  await Promise.all([tell(), tell(), tell()]);
  assert.deepEqual(to(), [BOSS, ADDRESS]);
});
