/** Releasing held mail: into an account exactly once, by SMTP with a one-time id, through the hooks that are left. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import type { AccountId } from "../../../src/core/ids.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import { NO_ACCOUNT } from "../../../src/core/ports/directory.ts";
import type { HoldReleases } from "../../../src/core/ports/hold-admin.ts";
import type { NewHold } from "../../../src/core/ports/holds.ts";
import type { SuccessNotices } from "../../../src/core/ports/success-notices.ts";
import { createNextHops } from "../../../src/delivery/relay/next-hops.ts";
import { FOLLOW_UP_ATTEMPTS } from "../../../src/store/deliver-rows.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { LmtpHop } from "../../lib/lmtp-hop.ts";
import { NO_RELAY } from "../../lib/relay-parts.ts";
import { ADDRESS, ADMIN, atMilter, type HeldMailRig, openHeldMail, startMta } from "./held-mail.ts";
import { AFTER, ask, holder, hooksThat, objection, TEXT } from "./release-parts.ts";

let rig: HeldMailRig;
before(async () => {
  rig = await openHeldMail();
});
after(() => rig.stop());

const held = holder(() => rig);

test("mail held at LMTP is stored with all that was decided, by the hooks that were left alone", async () => {
  const decision = {
    ...DELIVER,
    action: "hold" as const,
    tags: ["invoice"],
    flags: { system: 4, keywords: ["k1"] },
    metadata: { "plugin:a:x": 1 },
    headers: [["X-One", "1"]] as const,
  };
  const { id, message } = await held(await rig.atLmtp({ decision }));
  const { hooks, calls } = hooksThat(() => ({
    tags: ["invoice", "late"],
    folder: "Sorted/Invoices",
    metadata: { "plugin:b:y": 2 },
    headers: [["X-Two", "2"]],
  }));
  const result = await rig.releases(hooks).release(ask(id));
  assert.deepEqual(result.released, [{ recipient: ADDRESS, text: "Sorted/Invoices/1" }]);
  assert.equal(result.hold.state, "released");
  assert.deepEqual(
    calls.map(({ point, after, tags }) => ({ point, after, tags })),
    [{ point: "pre_delivery", after: AFTER, tags: ["invoice"] }],
  );
  assert.match(calls[0]?.text ?? "", /\.dot\r\nbody\r\n$/u);
  const [entry] = await rig.db.query`
    select flags, keywords, metadata, convert_from(prefix, 'utf8') as prefix from entries where message_id = ${message.messageId}::uuid`;
  assert.deepEqual(entry, {
    flags: 4,
    keywords: ["invoice", "k1", "late"],
    metadata: { "plugin:a:x": 1, "plugin:b:y": 2 },
    prefix: `Delivered-To: ${ADDRESS}\r\nX-One: 1\r\nX-Two: 2\r\n`,
  });
  assert.deepEqual(await rig.kinds(message.messageId), ["held", "released", "stored"]);
  await assert.rejects(rig.releases().release(ask(id)), { code: "invalid_state" });
});

test("mail held at LMTP by a hook of pre_receive has all of pre_delivery before it", async () => {
  const { id } = await held(await rig.atLmtp({ point: "pre_receive" }));
  const { hooks, calls } = hooksThat(() => ({}));
  await rig.releases(hooks).release(ask(id));
  assert.deepEqual(
    calls.map(call => [call.point, call.after]),
    [
      ["pre_receive", AFTER],
      ["pre_delivery", undefined],
    ],
  );
});

test("mail that no hook holds is released without hooks", async () => {
  const { id, message } = await held(await rig.atLmtp({ by: undefined, point: "pre_receive" }));
  const { hooks, calls } = hooksThat(() => objection("reject", "never"));
  await rig.releases(hooks).release(ask(id));
  assert.equal(calls.length, 0);
  assert.equal((await rig.inMailboxes(message.messageId)).length, 1);
});

test("a later hook that holds or rejects holds it from then on; one that defers is asked again", async () => {
  const { id, message } = await held(await rig.atLmtp());
  const release = async (decide: Parameters<typeof hooksThat>[0]) => {
    const { hooks, calls } = hooksThat(decide);
    const result = await rig.releases(hooks).release(ask(id));
    return { result, after: calls.map(call => call.after?.name) };
  };
  const first = await release(() => objection("tempfail", "slow"));
  assert.deepEqual(first.result.kept, [
    { recipient: ADDRESS, text: 'hook "slow" says tempfail: slow objects' },
  ]);
  assert.deepEqual(first.result.hold.hook, AFTER);
  const second = await release(() => objection("reject", "strict"));
  assert.deepEqual(second.after, ["dlp"]);
  assert.deepEqual([second.result.hold.state, second.result.hold.hook?.name], ["held", "strict"]);
  const third = await release(() => ({}));
  assert.deepEqual(third.after, ["strict"]);
  assert.equal((await rig.inMailboxes(message.messageId)).length, 1);
});

test("mail that is stored by a release leaves the job that a delivery leaves, for its own copy", async () => {
  const jobs = (message: string) =>
    rig.db.query`select kind, payload, max_attempts from jobs where message_id = ${message}::uuid`;
  const { id, message } = await held(await rig.atLmtp());
  await rig.releases(hooksThat(() => ({})).hooks).release(ask(id));
  const accounts = [await rig.accountOf()];
  assert.deepEqual(await jobs(message.messageId), [
    { kind: "post_receive", payload: { accounts }, max_attempts: FOLLOW_UP_ATTEMPTS },
  ]);
  const without = await held(await rig.atLmtp());
  await rig.releases().release(ask(without.id));
  assert.deepEqual(await jobs(without.message.messageId), [], "no hooks, no job");
  const kept = await held(await rig.atLmtp());
  await rig.releases(hooksThat(() => objection("hold", "other")).hooks).release(ask(kept.id));
  assert.deepEqual(await jobs(kept.message.messageId), [], "not stored, no job");
});

test("eight releases at a time store one copy", async () => {
  const { id, message } = await held(await rig.atLmtp());
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => rig.releases().release(ask(id))));
  assert.equal(results.filter(one => one.status === "fulfilled").length, 1);
  assert.equal((await rig.inMailboxes(message.messageId)).length, 1);
});

test("a release that comes back after its lease was lost stores nothing", async () => {
  const { id, message } = await held(await rig.atLmtp());
  const store: HoldReleases = rig.holdStore();
  const late = await store.take(id);
  await rig.db.query`update holds set lease_until = now() - interval '1 second' where id = ${id}::uuid`;
  await rig.releases().release(ask(id));
  const target = {
    accountId: await rig.accountOf(),
    recipient: ADDRESS,
    mailbox: "INBOX",
    ifMissing: "create",
    flags: { system: 0, keywords: [] },
    internalDate: new Date(),
    prefix: Buffer.alloc(0),
    metadata: {},
    exactlyOnce: false,
    events: [],
  } as const;
  await assert.rejects(store.store(late, { target }, "late", []), { code: "invalid_state" });
  assert.equal(await store.keep(late, { recipients: [], problem: "late", events: [] }), false);
  await assert.rejects(store.end(late, "released", "late", []), { code: "invalid_state" });
  assert.equal((await rig.inMailboxes(message.messageId)).length, 1);
});

test("no room in the mailbox: it stays held and says why", async () => {
  const { id } = await held(await rig.atLmtp());
  await rig.db.query`update accounts set quota_bytes = 1 where local_part = 'user'`;
  await assert.rejects(rig.releases().release(ask(id)), { code: "over_quota" });
  await rig.db.query`update accounts set quota_bytes = null where local_part = 'user'`;
  const record = await rig.admin.get(id);
  assert.deepEqual([record.state, record.problem], ["held", "mailbox is full"]);
});

test("mail held at the milter is submitted with a one-time id on top, to those whom it was for", async t => {
  const mta = await startMta(t);
  const recipients = [
    { address: parseMailAddress("a@example.test"), orcpt: "rfc822;list+x@example.test" },
    { address: parseMailAddress("b@example.test") },
  ];
  const { id, message } = await held(atMilter([], { recipients }));
  const { hooks, calls } = hooksThat((_point, recipient) =>
    recipient.startsWith("b") ? { tags: ["for-b"] } : {},
  );
  const result = await rig.releases(hooks, mta.server).release(ask(id));
  assert.deepEqual([result.hold.state, result.kept], ["released", []]);
  assert.deepEqual(
    calls.map(call => [call.point, call.after, call.recipients]),
    [["pre_receive", AFTER, ["a@example.test", "b@example.test"]]],
  );
  const [mail] = mta.taken;
  assert.deepEqual([mail?.from, mail?.to], ["a@example.org", ["a@example.test", "b@example.test"]]);
  const found = /^X-MaiRust-Submit: (\S+)\r\n(X-N: \d+\r\nFrom[\s\S]*)$/u.exec(mail?.text ?? "");
  assert.match(found?.[2] ?? "", /\r\n\r\n\.dot\r\nbody\r\n$/u);
  const taken = await rig.submissions.take(found?.[1] ?? "", "4NEW", []);
  assert.deepEqual(
    taken?.verdicts.map(one => [one.recipient, one.orcpt, one.decision.action, one.decision.tags]),
    [
      ["a@example.test", "rfc822;list+x@example.test", "deliver", ["seen-by-dlp"]],
      ["b@example.test", "", "deliver", ["for-b"]],
    ],
  );
  assert.equal(await rig.hasMessage(message.messageId), false);
  assert.deepEqual(await rig.kinds(message.messageId), ["held", "released"]);
});

test("who asked to be told of success is told when mail is let go into the account that it was held for", async () => {
  const told: string[] = [];
  const notices: SuccessNotices = {
    tell: async ({ account, action }) => void told.push(`${account} ${action}`),
  };
  const recipients = [{ address: parseMailAddress(ADDRESS), notify: ["SUCCESS"] }];
  const release = async (hold: NewHold, to?: string) =>
    rig.releases(undefined, undefined, undefined, undefined, notices).release(ask((await held(hold)).id, to));
  await release(await rig.atLmtp({ recipients }));
  await release(atMilter([], { recipients }), ADDRESS);
  assert.deepEqual(told, [`${ADDRESS} delivered`], "by the release of one who named the account, nobody is");
});

test("recipients whom the MTA refuses, or a hook objects to, stay held; the others have it", async t => {
  const mta = await startMta(t, {
    onRcptTo({ address }, _session, done) {
      done(address.startsWith("refused") ? new Error("no such user") : null);
    },
  });
  const all = ["fine@example.test", "refused@example.test", "judged@example.test"];
  const { id } = await held(atMilter(all));
  const { hooks } = hooksThat((_point, recipient) =>
    recipient.startsWith("judged") ? objection("reject", "strict") : {},
  );
  const result = await rig.releases(hooks, mta.server).release(ask(id));
  assert.deepEqual(mta.taken[0]?.to, ["fine@example.test"]);
  assert.deepEqual(
    result.released.map(one => one.recipient),
    ["fine@example.test"],
  );
  assert.deepEqual(result.kept.map(one => one.recipient).sort(), [
    "judged@example.test",
    "refused@example.test",
  ]);
  assert.match(result.kept.find(one => one.recipient.startsWith("refused"))?.text ?? "", /550 no such user/u);
  const again = await rig.releases(undefined, mta.server).release(ask(id));
  assert.deepEqual(mta.taken[1]?.to, ["judged@example.test"]);
  assert.deepEqual(
    again.hold.recipients.map(one => one.address.raw),
    ["refused@example.test"],
  );
  assert.equal(again.hold.state, "held");
});

test("of several hooks that object the first in the chain holds it: none is passed over", async () => {
  const { id } = await held(atMilter(["a@example.test", "b@example.test"]));
  const { hooks } = hooksThat((_point, recipient) =>
    recipient.startsWith("a")
      ? { ...objection("hold", "late"), by: { priority: 300, name: "late", pluginId: "l", reason: "" } }
      : objection("reject", "early"),
  );
  const result = await rig.releases(hooks).release(ask(id));
  assert.deepEqual(result.hold.hook, { priority: 200, name: "early" });
  assert.equal(result.hold.recipients.length, 2);
});

test("mail that the MTA has taken and that could not be recorded stays held, and says so", async t => {
  const mta = await startMta(t);
  const { id } = await held(atMilter([ADDRESS]));
  const store = { ...rig.holdStore(), end: () => Promise.reject(new Error("the database is away")) };
  await assert.rejects(rig.releases(undefined, mta.server, store).release(ask(id)), {
    code: "store_unavailable",
  });
  const record = await rig.admin.get(id);
  assert.equal(record.state, "held");
  assert.match(record.problem ?? "", /may have been submitted/u);
  await rig.releases(undefined, mta.server).release(ask(id));
  assert.equal(mta.taken.length, 2);
});

test("an MTA that is away, or that goes at the end of the message, leaves it held", async t => {
  const { id } = await held(atMilter([ADDRESS]));
  await assert.rejects(rig.releases().release(ask(id)), { code: "store_unavailable" });
  assert.equal((await rig.admin.get(id)).state, "held");
  const mta = await startMta(t, {
    onData(stream) {
      stream.resume();
      stream.on("end", () => mta.cut());
    },
  });
  await assert.rejects(rig.releases(undefined, mta.server).release(ask(id)), { code: "store_unavailable" });
  const record = await rig.admin.get(id);
  assert.equal(record.state, "held");
  assert.match(record.problem ?? "", /it may have been taken/u);
});

test("mail is released to one account in place of its recipients, with a trace of its own", async () => {
  const { id, message } = await held(atMilter(["a@example.test"]));
  const { hooks, calls } = hooksThat(() => ({}));
  const result = await rig.releases(hooks).release(ask(id, ADDRESS));
  assert.equal(result.hold.state, "released");
  assert.deepEqual(
    calls.map(call => [call.point, call.recipients]),
    [
      ["pre_receive", [ADDRESS]],
      ["pre_delivery", [ADDRESS]],
    ],
  );
  const [entry] = await rig.db.query<{ prefix: string; keywords: string[] }>`
    select convert_from(prefix, 'utf8') as prefix, keywords from entries where message_id = ${message.messageId}::uuid`;
  assert.match(
    entry?.prefix ?? "",
    /^Return-Path: <a@example\.org>\r\nDelivered-To: user@example\.test\r\nReceived: by /u,
  );
  assert.deepEqual(entry?.keywords, ["seen-by-dlp"]);
  const other = await held(atMilter(["a@example.test"]));
  await assert.rejects(rig.releases().release(ask(other.id, "nobody@example.test")), {
    code: "unknown_account",
  });
  assert.equal((await rig.admin.get(other.id)).state, "held");
});

test("a dry run of a release asks no hook and changes nothing", async () => {
  const { id } = await held(await rig.atLmtp());
  const { hooks, calls } = hooksThat(() => ({}));
  const result = await rig.releases(hooks).release({ ...ask(id), dryRun: true });
  assert.deepEqual([result.hold.state, result.released.length, calls.length], ["held", 1, 0]);
});

test("outbound mail is never released or rejected by its sender; rejected by another, the sender gets a bounce", async t => {
  const mta = await startMta(t);
  const outbound = atMilter(["customer@example.org"], { point: "pre_send", authUser: "User@example.test" });
  const message = await rig.message("Subject: secret plan\r\n\r\nbody\r\n", { mailFrom: ADDRESS });
  const [hold] = await rig.holds.hold(message, [outbound]);
  const id = hold?.heldId ?? "";
  const releases = rig.releases(undefined, mta.server);
  const sender = { name: "user", user: "user@example.test" };
  await assert.rejects(releases.release({ ...ask(id), by: sender }), { code: "not_permitted" });
  await assert.rejects(releases.reject(id, sender, { dryRun: false }), { code: "not_permitted" });
  // The same person, as a user of the host.
  const local = { name: "administrator", user: "User" };
  await assert.rejects(releases.release({ ...ask(id), by: local }), { code: "not_permitted" });
  const record = await releases.reject(id, ADMIN, { dryRun: false });
  assert.equal(record.state, "rejected");
  const [bounce] = mta.taken;
  assert.deepEqual([bounce?.from, bounce?.to], ["", [ADDRESS]]);
  assert.match(
    bounce?.text ?? "",
    /Final-Recipient: rfc822; customer@example\.org\r\nAction: failed\r\nStatus: 5\.7\.1/u,
  );
  assert.match(bounce?.text ?? "", /Subject: secret plan/u);
  assert.doesNotMatch(bounce?.text ?? "", /body \d/u);
  assert.equal(await rig.hasMessage(message.messageId), false);
});

test("inbound mail is rejected without a bounce", async t => {
  const mta = await startMta(t);
  const { id } = await held(atMilter(["a@example.test"]));
  const record = await rig.releases(undefined, mta.server).reject(id, ADMIN, { dryRun: false });
  assert.deepEqual([record.state, mta.taken.length], ["rejected", 0]);
});

test("mail held in a relay stage goes to the next hop; in mirror its copy lies here too, and what is refused stays held", async t => {
  const hop = await LmtpHop.start();
  const hops = createNextHops({ hostname: "mail.example.test" });
  t.after(async () => {
    hops.close();
    await hop.stop();
  });
  await rig.db.query`
    insert into domains (name, accounts, stage, relay_lmtp)
    values ('h.test', 'listed', 'hooks', ${hop.server}), ('m.test', 'auto', 'mirror', ${hop.server})`;
  const releases = rig.releases(undefined, undefined, undefined, { ...NO_RELAY, hops });
  const holdFor = async (address: string, id: AccountId, raw = address) =>
    held({
      ...(await rig.atLmtp()),
      recipients: [{ address: parseMailAddress(raw) }],
      account: { id, address },
      prefix: Buffer.from(
        `Return-Path: <a@example.org>\r\nDelivered-To: ${address}\r\nReceived: by us\r\nX-H: 1\r\n`,
      ),
    });
  // Nobody here knows it.
  const { id } = await holdFor("nobody@h.test", NO_ACCOUNT, "Nobody@h.test");
  const result = await releases.release(ask(id));
  assert.deepEqual(result.released, [{ recipient: "nobody@h.test", text: "250 2.0.0 saved" }]);
  assert.equal(result.hold.state, "released");
  const text = hop.messages[0]?.bytes.toString("latin1") ?? "";
  assert.ok(text.endsWith(TEXT) && /\r\nReceived: by us\r\nX-H: 1\r\nX-N: /u.test(text), text);
  assert.deepEqual(hop.messages[0]?.commands.slice(1), ["RCPT TO:<Nobody@h.test>"]);
  assert.equal(text.includes("Delivered-To"), false);
  const directory = new StoreDirectory(rig.db);
  const { account } = await directory.resolveRecipient(parseMailAddress("u@m.test"));
  const mirrored = await holdFor("u@m.test", account.id);
  hop.behaviour.onMessage = () => ["452 4.2.2 full"];
  await assert.rejects(releases.release(ask(mirrored.id)), /says 452 4\.2\.2 full/u);
  assert.equal((await rig.admin.get(mirrored.id)).state, "held");
  hop.behaviour.onMessage = () => undefined;
  const [place] = (await releases.release(ask(mirrored.id))).released;
  assert.equal(place?.text, "INBOX/1");
  assert.equal(hop.messages.length, 3);
});
