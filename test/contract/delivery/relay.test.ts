import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { DELIVER } from "../../../src/core/merge.ts";
import type { HookDecision } from "../../../src/core/ports/hooks.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { removeAccount } from "../../../src/store/admin-accounts.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import type { Db } from "../../../src/store/db.ts";
import { StoreDirectory } from "../../../src/store/directory.ts";
import { silentLog } from "../../lib/database.ts";
import { LmtpHop, PIPELINED } from "../../lib/lmtp-hop.ts";
import { type RealRelay, realRelay } from "../../lib/relay-parts.ts";
import { HOLD, REJECT, Rig, said, TEMPFAIL } from "./rig.ts";

const TEXT = "Received: by mx\r\nSubject: x\r\n\r\nline\n.\r\nbare\rend";
let rig: Rig;
let hop: LmtpHop;
let relay: RealRelay;
let twice = 0;

before(async () => {
  rig = await Rig.start();
  hop = await LmtpHop.start();
  const { db, dir } = rig.database;
  await db.query`
    insert into domains (name, accounts, stage, relay_lmtp)
    values ('o.test', 'listed', 'observe', ${hop.server}), ('h.test', 'listed', 'hooks', ${hop.server}),
           ('m.test', 'auto', 'mirror', ${hop.server}), ('none.test', 'listed', 'hooks', null)`;
  relay = realRelay({ db, changes: new MailboxChanges(db, silentLog), blobs: rig.blobs, dir });
  rig.relay = { hops: relay.hops, records: relay.records, onMaybeTwice: () => (twice += 1) };
});
afterEach(() => {
  rig.hooks.decisions = {};
  rig.onStep = undefined;
  hop.behaviour.onCommand = () => undefined;
  hop.behaviour.onMessage = () => undefined;
  hop.messages.length = 0;
  twice = 0;
});
after(async () => {
  relay?.close();
  await hop?.stop();
  await rig?.stop();
});

const bodies = () => hop.messages.map(({ bytes }) => bytes.toString("latin1"));
const rcpts = () =>
  hop.messages.map(({ commands }) => commands.slice(1).map(c => c.slice("RCPT TO:".length)));
const headers = (...list: readonly (readonly [string, string])[]): HookDecision => ({
  ...DELIVER,
  headers: list,
});

const rows = (address: string) => rig.stored(address);
const copies = () => rig.waitingCopies();

test("in stage observe each octet goes on as it came, hooks run in shadow, and nothing is kept", async () => {
  rig.hooks.decisions = { pre_delivery: { "*": REJECT }, pre_receive: { "*": HOLD } };
  const before = rig.hooks.calls.length;
  assert.deepEqual(said(await rig.deliver({ to: ["a@o.test", "b@o.test"], text: TEXT })), ["250", "250"]);
  assert.deepEqual(bodies(), [TEXT]);
  assert.deepEqual(rcpts(), [["<a@o.test>", "<b@o.test>"]]);
  assert.equal(rig.hooks.calls.length, before + 3);
  assert.equal(await copies(), 0);
});

test("our own trace field is taken out on the way, in observe too", async () => {
  const text = `X-MaiRust-Trace: v1; whatever\r\nX-MaiRust-Folder: x y\r\n${TEXT}`;
  await rig.deliver({ to: ["a@o.test"], text });
  await rig.deliver({ to: ["a@h.test"], text });
  assert.equal(bodies()[0], `X-MaiRust-Folder: x y\r\n${TEXT}`);
  assert.match(
    bodies()[1] ?? "",
    /^Received: from mx \(unix\)\r\n\tby mail\.example\.test with LMTP id \S+;\r\n\t[^\r]+\r\nReceived: by mx\r\n/u,
  );
});

test("in stage hooks verdicts count, fields and folder stand on top, and what has equal bytes goes as one", async () => {
  rig.hooks.decisions = {
    pre_delivery: {
      no: REJECT,
      later: TEMPFAIL,
      held: HOLD,
      tag: headers(["X-Spam", "yes"]),
      filed: { ...DELIVER, folder: "Büro", tags: ["t"] },
    },
  };
  const to = ["one", "no", "two", "later", "held", "tag", "filed"].map(name => `${name}@h.test`);
  assert.deepEqual(said(await rig.deliver({ to, text: TEXT })), [
    "250",
    "refused",
    "250",
    "refused",
    "held",
    "250",
    "250",
  ]);
  const sent = new Map(rcpts().map((list, i) => [list.join(), bodies()[i] ?? ""]));
  assert.deepEqual([...sent.keys()].sort(), ["<filed@h.test>", "<one@h.test>,<two@h.test>", "<tag@h.test>"]);
  assert.match(sent.get("<tag@h.test>") ?? "", /\r\nX-Spam: yes\r\nReceived: by mx\r\n/u);
  assert.match(
    sent.get("<filed@h.test>") ?? "",
    /\r\nX-MaiRust-Folder: secret\r\n =\?UTF-8\?B\?QsO8cm8=\?=\r\nReceived: by mx/u,
  );
  for (const body of sent.values()) assert.ok(body.endsWith(TEXT) && !/Delivered-To|Return-Path/u.test(body));
});

test("one transaction of all stages: each goes its way, and the next hop's own words are passed on in order", async () => {
  hop.behaviour.onCommand = line =>
    line.includes("gone@") ? "550 5.1.1 <gone> User doesn't exist" : undefined;
  hop.behaviour.onMessage = (_, accepted) =>
    accepted.map(line =>
      line.includes("full") ? "452 4.2.2 <full> Quota exceeded" : "250 2.0.0 <x> abc Saved",
    );
  const to = ["s@example.test", "a@o.test", "gone@h.test", "full@m.test", "ok@m.test", "a@o.test"];
  const outcomes = await rig.deliver({ to, text: TEXT });
  assert.deepEqual(said(outcomes), ["stored", "250", "550", "452", "250", "250"]);
  const [, first, gone, full] = outcomes;
  assert.ok(first?.kind === "relayed" && first.text === "<x> abc Saved" && first.enhanced === "2.0.0");
  assert.ok(gone?.kind === "relayed" && gone.text === "<gone> User doesn't exist");
  assert.ok(full?.kind === "relayed" && full.enhanced === "4.2.2");
  assert.equal((await rows("s@example.test")).length, 1);
  assert.equal((await rows("ok@m.test")).length, 1);
  assert.equal((await rows("full@m.test")).length, 0);
  assert.equal(await copies(), 0);
});

test("in stage mirror the copy waits without UID until the next hop took it, quota or not", async () => {
  const { db } = rig.database;
  rig.hooks.decisions = { pre_delivery: { "*": { ...headers(["X-H", "1"]), folder: "Junk", tags: ["t"] } } };
  await rig.deliver({ to: ["u@m.test"], text: TEXT });
  await db.query`update accounts set quota_bytes = 1 where local_part = 'u' and domain = 'm.test'`;
  rig.directory.invalidate();
  const waiting: string[] = [];
  rig.onStep = step => waiting.push(step);
  await rig.deliver({ to: ["u@m.test", "u+x@m.test", "U@m.test"], text: TEXT });
  assert.deepEqual(waiting, [
    "received",
    "decided",
    "pending",
    "relay_open",
    "relay_sent",
    "relayed",
    "relay_recorded",
  ]);
  const found = await rows("u@m.test");
  assert.deepEqual(
    found.map(({ uid, mailbox, keywords }) => ({ uid, mailbox, keywords })),
    [1, 2].map(uid => ({ uid, mailbox: "Junk", keywords: ["t"] })),
  );
  assert.match(
    found[1]?.prefix.toString("latin1") ?? "",
    /^Return-Path: <a@example\.org>\r\nDelivered-To: u@m\.test\r\n(?:[^\r]+\r\n)+X-H: 1\r\n$/u,
  );
  const [box] = await db.query<{ uidnext: number; highest_modseq: number; messages: number }>`
    select uidnext, highest_modseq, messages from mailboxes b join accounts a on a.id = b.account_id
    where a.local_part = 'u' and b.name = 'Junk'`;
  assert.deepEqual(box, { uidnext: 3, highest_modseq: 3, messages: 2 });
});

test("the same delivery again is answered without a second relay, also each RCPT alone", async () => {
  hop.behaviour.onMessage = (_, accepted) =>
    accepted.map(line => (line.includes("b@") ? "451 4.3.0 later" : "250 2.0.0 ok"));
  const sent = { to: ["a@h.test", "b@h.test", "m@m.test"], text: TEXT, queueId: "Q1" };
  assert.deepEqual(said(await rig.deliver(sent)), ["250", "451", "250"]);
  hop.behaviour.onMessage = () => undefined;
  assert.deepEqual(said(await rig.deliver(sent)), ["relayed_before", "250", "relayed_before"]);
  assert.deepEqual(rcpts(), [["<a@h.test>", "<b@h.test>", "<m@m.test>"], ["<b@h.test>"]]);
  assert.deepEqual(said(await rig.deliver({ ...sent, text: `${TEXT}!` })), ["250", "250", "250"]);
  assert.equal((await rows("m@m.test")).length, 2);
});

test("what was relayed is known in stage store, and what was stored in a relay stage", async () => {
  const { db } = rig.database;
  const stage = async (name: string) => {
    await db.query`update domains set stage = ${name} where name = 'm.test'`;
    rig.directory.invalidate();
  };
  const up = { to: ["v@m.test"], text: TEXT, queueId: "Q2" };
  assert.deepEqual(said(await rig.deliver(up)), ["250"]);
  await stage("store");
  const [again] = await rig.deliver(up);
  assert.ok(again?.kind === "stored" && again.already);
  assert.deepEqual(said(await rig.deliver({ ...up, queueId: "Q3" })), ["stored"]);
  await stage("mirror");
  assert.deepEqual(said(await rig.deliver({ ...up, queueId: "Q3" })), ["relayed_before"]);
  assert.equal((await rows("v@m.test")).length, 2);
  assert.equal(hop.messages.length, 1);
});

test("sent and not answered: deferred, relayed again, and counted", async () => {
  hop.behaviour.onMessage = () => ["reset"];
  const sent = { to: ["a@h.test", "m@m.test"], text: TEXT, queueId: "Q4" };
  assert.deepEqual(said(await rig.deliver(sent)), ["store_unavailable", "store_unavailable"]);
  assert.equal(await copies(), 1);
  assert.equal((await rows("m@m.test")).length, 2);
  hop.behaviour.onMessage = () => undefined;
  assert.deepEqual(said(await rig.deliver(sent)), ["250", "250"]);
  assert.equal(twice, 2);
  assert.equal(await copies(), 0);
  assert.equal((await rows("m@m.test")).length, 3);
  await rig.deliver(sent);
  assert.equal(twice, 2);
});

test("a next hop that is down defers everybody, leaves nothing behind, and is not counted", async () => {
  await hop.stop();
  const sent = { to: ["a@h.test", "m@m.test", "a@o.test"], text: TEXT, queueId: "Q5" };
  assert.deepEqual(said(await rig.deliver(sent)), Array(3).fill("store_unavailable"));
  assert.equal(await copies(), 0);
  await hop.listen();
  assert.deepEqual(said(await rig.deliver(sent)), ["250", "250", "250"]);
  assert.equal(twice, 0);
});

test("who asked to be told of success is told of a relay, where the next hop does not do that, and once", async () => {
  const told: string[] = [];
  let error: Error | undefined;
  rig.successNotices = {
    async tell({ action, account, recipients, messageId }) {
      if (error !== undefined) throw error;
      told.push(`${action} ${account} ${recipients.map(({ address }) => address.raw)} ${messageId}`);
    },
  };
  hop.behaviour.onCommand = line => (line.includes("gone@") ? "550 5.1.1 no" : undefined);
  const notify = ["SUCCESS"] as const;
  const to = [{ address: "gone@h.test", notify }, "quiet@h.test", { address: "a@o.test", notify }];
  const sent = { to, queueId: "Q7" };
  try {
    error = new MairustError("store_unavailable", "Cannot queue: away");
    assert.deepEqual(said(await rig.deliver(sent)), ["550", "250", "store_unavailable"]);
    error = undefined;
    assert.deepEqual(said(await rig.deliver(sent)), ["550", "relayed_before", "relayed_before"]);
    assert.deepEqual(
      told.map(one => one.split(" ").slice(0, 3).join(" ")),
      ["relayed a@o.test a@o.test"],
    );
    hop.behaviour.extensions = [...PIPELINED, "DSN"];
    relay.hops.close();
    assert.deepEqual(said(await rig.deliver({ ...sent, queueId: "Q8" })), ["550", "250", "250"]);
    assert.equal(told.length, 1);
    assert.match(hop.messages.at(-1)?.commands.join() ?? "", /<a@o\.test> NOTIFY=SUCCESS/u);
  } finally {
    hop.behaviour.extensions = PIPELINED;
    rig.successNotices = undefined;
  }
});

test("a domain in a relay stage without a next hop is deferred at RCPT", async () => {
  await assert.rejects(rig.deliver({ to: ["a@none.test"] }), { code: "config_invalid", retry: "later" });
});

test("hooks at post_receive leave a job and a copy that no mailbox has; without an account too", async () => {
  const { db } = rig.database;
  rig.hooks.decisions = { post_receive: {} };
  await rig.deliver({ to: ["p@h.test", "q@h.test", "p@m.test", "s@example.test"], text: TEXT });
  const kept = await db.query<{ id: number; address: string; kind: string; state: string }>`
    select id, address, kind, state from relay_copies order by address`;
  assert.deepEqual(
    kept.map(({ address, kind, state }) => `${address} ${kind} ${state}`),
    ["p@h.test hooks kept", "q@h.test hooks kept"],
  );
  const jobs = await db.query<{ payload: { relayed?: number[]; accounts?: number[] } }>`
    select payload from jobs where kind = 'post_receive' order by id`;
  assert.equal(jobs.length, 2);
  const own = jobs.find(({ payload }) => payload.relayed !== undefined);
  assert.deepEqual(
    own?.payload.relayed,
    kept.map(({ id }) => id),
  );
  assert.equal(own?.payload.accounts?.length, 1);
  // An account that goes takes its entry along; the message stays as long as the copies of others wait for their job.
  await removeAccount(db, "p@m.test", { dryRun: false });
  assert.equal(await copies(), 2);
  await db.query`delete from jobs`;
  await relay.records.housekeeping();
  assert.equal(await copies(), 0);
});

test("with the database away mail that only passes goes on; the journal knows it, and brings it in later", async () => {
  const { database, blobs } = rig;
  const { dir } = database;
  const away = await database.open();
  let clock = 0;
  const [directory, ofRig] = [new StoreDirectory(away, () => clock), rig.directory];
  const part = { changes: new MailboxChanges(database.db, silentLog), blobs, dir: join(dir, "away") };
  const first = realRelay({ ...part, db: away });
  const using = (one: RealRelay) => ({
    hops: one.hops,
    records: one.records,
    onMaybeTwice: () => (twice += 1),
  });
  [rig.directory, rig.relay] = [directory, using(first)];
  try {
    for (const to of ["a@h.test", "w@m.test"]) await rig.deliver({ to: [to], text: TEXT });
    const recorded = { to: ["a@h.test"], text: TEXT, queueId: "Q16" };
    assert.deepEqual(said(await rig.deliver(recorded)), ["250"]);
    await closed(away);
    clock = 60_000;
    assert.deepEqual(said(await rig.deliver(recorded)), ["relayed_before"], "its answer was lost");
    const sent = { to: ["a@h.test", "never-seen@h.test"], text: TEXT, queueId: "Q6" };
    assert.deepEqual(said(await rig.deliver(sent)), ["250", "250"]);
    assert.deepEqual(said(await rig.deliver(sent)), ["relayed_before", "relayed_before"]);
    await assert.rejects(rig.deliver({ to: ["w@m.test"] }), { code: "store_unavailable" });
    await assert.rejects(rig.deliver({ to: ["s@example.test"] }), { code: "store_unavailable" });
    clock += 25 * 3_600_000;
    await assert.rejects(rig.deliver(sent), { code: "store_unavailable" });
    assert.equal(first.journal.waiting().length, 1);
  } finally {
    [rig.directory, rig.relay] = [ofRig, using(relay)];
    first.close();
  }
  // The next process.
  const second = realRelay({ ...part, db: database.db });
  rig.relay = using(second);
  const again = { to: ["a@h.test"], text: TEXT, queueId: "Q6" };
  assert.deepEqual(said(await rig.deliver(again)), ["relayed_before"]);
  await second.records.replay();
  assert.equal(second.journal.waiting().length, 0);
  rig.relay = using(relay);
  second.close();
  assert.deepEqual(said(await rig.deliver(again)), ["relayed_before"]);
  assert.equal(hop.messages.length, 4);
  const [event] = await database.db.query`
    select list from events where queue_id = 'Q6' and jsonb_path_exists(list, '$[*] ? (@.kind == "relayed")')`;
  assert.ok(event !== undefined);
});

async function closed(db: Db): Promise<void> {
  const end = deadlineAfter(10_000);
  await db.close(end);
  end.dispose();
}

test("the timeline tells of the relay with the next hop's reply", async () => {
  rig.hooks.decisions = { pre_delivery: { "*": { ...DELIVER, tags: ["invoice"] } } };
  const [outcome] = await rig.deliver({ to: ["t@h.test"], text: TEXT });
  const [row] = await rig.database.db.query<{ list: { kind: string; data: Record<string, unknown> }[] }>`
    select list from events where message_id = ${outcome?.id ?? ""}::uuid`;
  assert.deepEqual(
    row?.list.map(({ kind }) => kind),
    ["received", "decision", "relayed"],
  );
  assert.deepEqual(row?.list[1]?.data.not_done, [
    { item: "tags", what: "invoice", why: "the message is relayed" },
  ]);
  assert.deepEqual(row?.list[2]?.data, { server: hop.server, reply: "250 2.0.0 saved" });
});
