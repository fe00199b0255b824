/**
 * What the store tells of mailboxes and messages beyond what every client asks: expunges since a MODSEQ and how they are forgotten,
 * \Deleted counted, ids, previews; and what bounds its memory: pages, states kept for the next opener.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { indexOfUid, lastUid, modseqAt, type SnapshotChunk } from "../../../src/core/mailbox-snapshot.ts";
import {
  FETCH_PAGE_BYTES,
  type MessageRow,
  type OpenMailbox,
  type RowFields,
} from "../../../src/core/ports/mailboxes.ts";
import { forgetExpunges } from "../../../src/store/forget-expunges.ts";
import { type HubLimits, MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { silentLog } from "../../lib/database.ts";
import { messagesOf, uidsOf } from "../../lib/snapshots.ts";
import { type ImapService, startImapService } from "./service.ts";

const MESSAGE = "From: a@example.org\r\nSubject: plain\r\n\r\ntext\r\n";

let service: ImapService;
before(async () => {
  service = await startImapService();
  await service.deliver(MESSAGE, 6);
});
after(() => service?.stop());

async function rowsOf(uids: readonly number[], fields: RowFields): Promise<readonly MessageRow[]> {
  const { reader, account } = service;
  const { id } = await reader.status(account, "INBOX");
  const rows: MessageRow[] = [];
  for await (const page of reader.rows(id, uids, fields)) rows.push(...page);
  return rows;
}

test("vanished() tells the UIDs expunged between two MODSEQs by one statement, and whether the log knows all", async () => {
  const { reader, account, db, statements } = service;
  const box = await reader.open(account, "INBOX");
  const expunge = async (uid: number) => {
    await db.run`delete from entries where mailbox_id = ${box.info.id} and uid = ${uid}`;
    return (await box.refresh()).highestModseq;
  };
  const start = box.snapshot().highestModseq;
  const [first, second, third] = [await expunge(5), await expunge(2), await expunge(4)];
  const vanished = async (since: number, until: number) => {
    const { complete, uids } = await box.vanished(since, until);
    return [complete, ...uids];
  };
  statements.length = 0;
  assert.deepEqual(await vanished(start, third), [true, 2, 4, 5]);
  assert.equal(statements.length, 1);
  assert.deepEqual(await vanished(start, second), [true, 2, 5]);
  assert.deepEqual(await vanished(first, third), [true, 2, 4]);
  assert.deepEqual(await vanished(third, third), [true]);
  // As if what was expunged up to there were forgotten.
  await db.run`update mailboxes set expunged_floor = ${second} where id = ${box.info.id}`;
  assert.deepEqual(await vanished(first, third), [false, 2, 4]);
  assert.deepEqual(await vanished(second, third), [true, 4]);
  assert.deepEqual(uidsOf(box.snapshot()), [1, 3, 6]);
  box.close();
});

test("messages with \\Deleted are counted when somebody wishes it", async () => {
  const { reader, account, db } = service;
  const { id, highestModseq } = await reader.status(account, "INBOX");
  await db.run`update entries set flags = 8, modseq = ${highestModseq + 1} where mailbox_id = ${id} and uid = 3`;
  assert.equal((await reader.status(account, "INBOX")).deleted, undefined);
  assert.equal((await reader.status(account, "INBOX", { deleted: true })).deleted, 1);
  const { mailboxes } = await reader.list(account, { deleted: true });
  assert.deepEqual(
    mailboxes.map(info => info.deleted),
    mailboxes.map(info => (info.name === "INBOX" ? 1 : 0)),
  );
});

test("the same octets have the same email id, and messages of one thread the same thread id", async () => {
  await service.deliver(`X-Other: yes\r\n${MESSAGE}`, 2);
  const ids = (await rowsOf([7, 8], {})).map(row => row.messageId);
  await service.db
    .run`update messages set thread_key = 'first@x.test' where message_id = any(${ids}::uuid[])`;
  const [one, again, first, second] = await rowsOf([1, 3, 7, 8], { objectIds: true, prefix: true });
  assert.ok(one && again && first && second);
  const digest = (octets: Uint8Array | string) => createHash("sha256").update(octets).digest();
  const octets = Buffer.concat([digest(MESSAGE), one.prefix ?? Buffer.alloc(0)]);
  assert.equal(one.emailId, `M${digest(octets).toString("hex").slice(0, 32)}`);
  assert.equal(again.emailId, one.emailId);
  assert.notEqual(first.emailId, one.emailId);
  assert.match(first.threadId ?? "", /^T[0-9a-f]{32}$/u);
  assert.deepEqual([second.threadId, one.threadId], [first.threadId, null]);
  const [plain] = await rowsOf([1], {});
  assert.deepEqual([plain?.emailId, plain?.threadId, plain?.preview], [undefined, undefined, undefined]);
});

test("a preview is told when it was made, null before", async () => {
  const [before] = await rowsOf([1], { preview: true });
  assert.equal(before?.preview, null);
  await service.db.run`
    insert into imap_texts (message_id, version, complete, preview, grams)
    values (${before.messageId}, 1, true, 'what it says', '{}')`;
  assert.equal((await rowsOf([1], { preview: true }))[0]?.preview, "what it says");
});

/** Another node. */
function anotherHub(limits: HubLimits = {}) {
  const hub = new MailboxHub(() => service.imapDb, service.changes, silentLog, limits);
  const open = async (name: string): Promise<OpenMailbox> => {
    const box = await hub.open(service.account, name);
    assert.ok(box);
    return box;
  };
  return { open };
}

const STEP = { rowsPerStep: 3, steps: 50 };

async function newMailbox(name: string, messages: number): Promise<number> {
  const { db, account } = service;
  const [box] = await db.query<{ id: number }>`
    insert into mailboxes (account_id, name, uidvalidity) values (${account}, ${name}, 7) returning id`;
  assert.ok(box);
  const { id } = await service.reader.status(account, "INBOX");
  await db.run`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, prefix, size_bytes)
    select ${box.id}, n, n + 1, e.message_id, e.internal_date, e.prefix, e.size_bytes
    from (select * from entries where mailbox_id = ${id} order by uid limit 1) e, generate_series(1, ${messages}::int) n`;
  return box.id;
}

/** Each with a MODSEQ of its own. */
async function expungeAll(mailbox: number, uids: readonly number[]): Promise<void> {
  for (const uid of uids)
    await service.db.run`delete from entries where mailbox_id = ${mailbox} and uid = ${uid}`;
}

test("expunges are forgotten by number and by age, the oldest first, and who asks from below them is told so", async () => {
  const { db } = service;
  const mailbox = await newMailbox("Forgotten", 20);
  const box = await anotherHub().open("Forgotten");
  const since = box.snapshot().highestModseq;
  await expungeAll(mailbox, [11, 2, 13, 4, 15, 6, 17, 8]);
  const until = (await box.refresh()).highestModseq;
  assert.equal(await forgetExpunges(db, { ...STEP, keepPerMailbox: 8 }), 0);
  assert.equal(await forgetExpunges(db, { ...STEP, keepPerMailbox: 3, steps: 1 }), 3, "the rest waits");
  assert.equal(await forgetExpunges(db, { ...STEP, keepPerMailbox: 3 }), 2);
  assert.deepEqual(await box.vanished(since, until), { complete: false, uids: Uint32Array.of(6, 8, 17) });
  assert.equal((await box.vanished(since + 4, until)).complete, false);
  assert.deepEqual(await box.vanished(since + 5, until), { complete: true, uids: Uint32Array.of(6, 8, 17) });
  await db.run`update expunged set expunged_at = now() - interval '91 days' where mailbox_id = ${mailbox} and uid = 6`;
  assert.equal(await forgetExpunges(db, STEP), 1);
  assert.deepEqual(await box.vanished(since + 6, until), { complete: true, uids: Uint32Array.of(8, 17) });
  assert.equal((await box.vanished(since + 5, until)).complete, false);
  box.close();
});

test("a state that is older than what was forgotten is read anew, and its sessions hear of it", async () => {
  const { db } = service;
  const mailbox = await newMailbox("Asleep", 9);
  const { open } = anotherHub();
  const [idle, box] = [await open("Asleep"), await open("Asleep")];
  await expungeAll(mailbox, [3, 5]);
  await forgetExpunges(db, { ...STEP, keepPerMailbox: 0 });
  await db.run`update entries set flags = 1, modseq = 13 where mailbox_id = ${mailbox} and uid = 4`;
  let heard = 0;
  box.onChange(() => heard++);
  assert.deepEqual(uidsOf(await box.refresh()), [1, 2, 4, 6, 7, 8, 9]);
  assert.equal(heard, 1);
  assert.equal(modseqAt(idle.snapshot(), 2), 13);
  // And once it is new, changes alone are read again.
  service.statements.length = 0;
  await expungeAll(mailbox, [1]);
  assert.deepEqual(uidsOf(await box.refresh()), [2, 4, 6, 7, 8, 9]);
  assert.equal(service.statements.length, 1);
  idle.close();
  await expungeAll(mailbox, [2]);
  await forgetExpunges(db, { ...STEP, keepPerMailbox: 0 });
  box.close();
  const again = await open("Asleep");
  assert.deepEqual(uidsOf(again.snapshot()), [4, 6, 7, 8, 9]);
  again.close();
});

test("a mailbox of many pages, with holes, is read whole, and so are many changes at once", async () => {
  const { db } = service;
  const mailbox = await newMailbox("Large", 20_000);
  await db.run`delete from entries where mailbox_id = ${mailbox} and (uid between 4000 and 12500 or uid % 7 = 0)`;
  // Imported UIDs may be anywhere: a look at each page up to here would take a second.
  await db.run`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, prefix, size_bytes)
    select mailbox_id, 4000000000, m.highest_modseq + 1, message_id, internal_date, prefix, e.size_bytes
    from entries e join mailboxes m on m.id = mailbox_id where mailbox_id = ${mailbox} and uid = 20000`;
  const { open } = anotherHub();
  const box = await open("Large");
  const expected = await db.query<{ uid: number }>`
    select uid from entries where mailbox_id = ${mailbox} order by uid`;
  assert.deepEqual(
    uidsOf(box.snapshot()),
    expected.map(({ uid }) => uid),
  );
  await db.run`
    update entries set flags = 1, keywords = '{a,b}', modseq = m.highest_modseq + uid from mailboxes m
    where m.id = mailbox_id and mailbox_id = ${mailbox} and uid % 3 = 0`;
  await db.run`delete from entries where mailbox_id = ${mailbox} and uid % 11 = 0`;
  await box.refresh();
  const fresh = await anotherHub().open("Large");
  assert.deepEqual(messagesOf(box.snapshot()), messagesOf(fresh.snapshot()));
  const first = indexOfUid(box.snapshot(), 19_995);
  assert.deepEqual(messagesOf(box.snapshot())[first]?.flags, { system: 1, keywords: ["a", "b"] });
  assert.equal(lastUid(box.snapshot()), 4_000_000_000);
  box.close();
  fresh.close();
});

test("states of mailboxes that nobody has open are kept within a number and within octets", async () => {
  const names = ["Kept1", "Kept2", "Kept3"];
  for (const name of names) await newMailbox(name, 1000);
  /** `k`: the state was kept, its chunk is the same object; `r`: it was read. */
  const reads = async ({ open }: ReturnType<typeof anotherHub>, list: readonly string[]) => {
    const known = new Map<string, SnapshotChunk | undefined>();
    let read = "";
    for (const name of list) {
      const box = await open(name);
      const [chunk] = box.snapshot().chunks;
      box.close();
      read += known.get(name) === chunk ? "k" : "r";
      known.set(name, chunk);
    }
    return read;
  };
  const twice = [...names, ...names.toReversed()];
  assert.equal(await reads(anotherHub(), twice), "rrrkkk");
  // 16 octets a message and something for the state: two of them fit.
  assert.equal(await reads(anotherHub({ idleOctets: 40_000 }), twice), "rrrkkr");
  assert.equal(await reads(anotherHub({ idleStates: 1 }), twice), "rrrkrr");
  // One that is too large alone drives out no other.
  await newMailbox("Huge", 3000);
  const hub = anotherHub({ idleOctets: 40_000 });
  assert.equal(await reads(hub, ["Kept1", "Kept2", "Huge", "Kept1", "Kept2", "Huge"]), "rrrkkr");
});

test("rows come in pages of bounded octets, each message once", async () => {
  const { db, reader, account } = service;
  const header = 60_000;
  await db.run`update messages set header = convert_to(repeat('h', ${header}::int), 'UTF8')`;
  const mailbox = await newMailbox("Wide", 200);
  await expungeAll(mailbox, [70, 71, 100]);
  const { id } = await reader.status(account, "Wide");
  const uids = Array.from({ length: 205 }, (_, i) => i + 1);
  const pages = async (fields: RowFields) => {
    const read: (readonly MessageRow[])[] = [];
    service.statements.length = 0;
    for await (const page of reader.rows(id, uids, fields)) read.push(page);
    return read;
  };
  const wide = await pages({ header: true });
  const perPage = Math.ceil(FETCH_PAGE_BYTES / header);
  assert.deepEqual(
    wide.map(page => page.length),
    Array.from({ length: Math.ceil(197 / perPage) }, (_, i) => Math.min(perPage, 197 - i * perPage)),
  );
  assert.equal(service.statements.length, wide.length);
  const expected = uids.filter(uid => uid <= 200 && ![70, 71, 100].includes(uid));
  assert.deepEqual(
    wide.flat().map(row => row.uid),
    expected,
  );
  assert.deepEqual(
    (await pages({})).map(page => page.length),
    [197],
    "columns that nobody asks for do not count",
  );
  await db.run`update messages set structure = convert_to(repeat('s', ${FETCH_PAGE_BYTES + 1}), 'UTF8')
    where message_id = (select message_id from entries where mailbox_id = ${mailbox} limit 1)`;
  uids.splice(0, uids.length, 1, 2, 3);
  assert.deepEqual(
    (await pages({ structure: true })).map(page => page.length),
    [1, 1, 1],
    "one at least",
  );
});
