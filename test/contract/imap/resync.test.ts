/**
 * What QRESYNC clients are told over the real store after ten thousand changes, and what becomes of sessions whose mailbox is removed,
 * replaced, or cannot be read for a while.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import type { OpenMailbox } from "../../../src/core/ports/mailboxes.ts";
import type { Db } from "../../../src/store/db.ts";
import { forgetExpunges } from "../../../src/store/forget-expunges.ts";
import { MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { silentLog } from "../../lib/database.ts";
import { type ImapTestClient, readFetch } from "../../lib/imap-client.ts";
import { uidsOf } from "../../lib/snapshots.ts";
import { type ImapService, PASSWORD, startImapService, USER } from "./service.ts";

const MESSAGES = 10_000;
const VALIDITY = 7;

let service: ImapService;
before(async () => {
  service = await startImapService();
  await service.deliver("From: a@example.org\r\nSubject: plain\r\n\r\ntext\r\n", 1);
});
after(() => service?.stop());

async function add(mailbox: number, first: number, last: number): Promise<void> {
  await service.db.run`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, prefix, size_bytes)
    select ${mailbox}, n, m.highest_modseq + n - ${first}::int + 1, e.message_id, e.internal_date, e.prefix, e.size_bytes
    from (select e.* from entries e join mailboxes b on b.id = e.mailbox_id where b.name = 'INBOX' limit 1) e,
         mailboxes m, generate_series(${first}::int, ${last}::int) n where m.id = ${mailbox}`;
}

async function newMailbox(name: string, messages: number): Promise<number> {
  const [box] = await service.db.query<{ id: number }>`
    insert into mailboxes (account_id, name, uidvalidity) values (${service.account}, ${name}, ${VALIDITY}) returning id`;
  assert.ok(box);
  if (messages > 0) await add(box.id, 1, messages);
  return box.id;
}

async function resyncing(): Promise<ImapTestClient> {
  const client = await service.client();
  await client.command(`LOGIN ${USER} "${PASSWORD}"`);
  assert.equal((await client.command("ENABLE QRESYNC"))[0], "* ENABLED QRESYNC");
  return client;
}

/** UIDs of lines `* VANISHED …`. */
function vanishedIn(lines: readonly string[]): number[] {
  return lines.flatMap(line => {
    const sets = /^\* VANISHED (?:\(EARLIER\) )?(\S+)$/u.exec(line)?.[1]?.split(",") ?? [];
    return sets.flatMap(set => {
      const [from = 0, to = from] = set.split(":").map(Number);
      return Array.from({ length: to - from + 1 }, (_, i) => from + i);
    });
  });
}

const text = (line: string, name: string) => {
  const value = readFetch(line).get(name);
  return value !== null && value !== undefined && "text" in value ? value.text : undefined;
};

/** UID, flags and MODSEQ of lines `* n FETCH …`. */
function fetchedIn(lines: readonly string[]): string[] {
  return lines
    .filter(line => /^\* \d+ FETCH /u.test(line))
    .map(line => ["UID", "FLAGS", "MODSEQ"].map(name => text(line, name)).join(" "));
}

/** What the store says that changed. */
async function changedIn(mailbox: number, since: number) {
  const rows = await service.db.query<{ uid: number; flags: number; modseq: number }>`
    select uid, flags, modseq from entries where mailbox_id = ${mailbox} and modseq > ${since}::bigint order by uid`;
  return rows.map(({ uid, flags, modseq }) => `${uid} (${flags === 0 ? "" : "\\Flagged"}) (${modseq})`);
}

async function expungedIn(mailbox: number, since: number): Promise<number[]> {
  const rows = await service.db.query<{ uid: number }>`
    select uid from expunged where mailbox_id = ${mailbox} and modseq > ${since}::bigint order by uid`;
  return rows.map(({ uid }) => uid);
}

test("a client that was away for ten thousand changes is told exactly those, in a few lines of UIDs", async () => {
  const { db } = service;
  const mailbox = await newMailbox("Away", MESSAGES);
  const [client, watching] = [await resyncing(), await resyncing()];
  await watching.command("SELECT Away");
  const first = await client.command("SELECT Away");
  const since = Number(first.map(line => /HIGHESTMODSEQ (\d+)/u.exec(line)?.[1]).find(n => n !== undefined));
  assert.equal(since, MESSAGES + 1);
  await client.command("UNSELECT");
  await db.run`
    update entries e set flags = 4, modseq = m.highest_modseq + e.uid from mailboxes m
    where m.id = e.mailbox_id and m.id = ${mailbox} and e.uid % 3 = 0`;
  await db.run`delete from entries where mailbox_id = ${mailbox} and (uid % 5 = 0 or uid between 7000 and 8000)`;
  await add(mailbox, MESSAGES + 1, MESSAGES + 4000);
  await db.run`delete from entries where mailbox_id = ${mailbox} and uid > ${MESSAGES} and uid % 2 = 0`;
  const lines = await client.command(`SELECT Away (QRESYNC (${VALIDITY} ${since}))`);
  const [expunged, changed] = [await expungedIn(mailbox, since), await changedIn(mailbox, since)];
  assert.ok(expunged.length + changed.length > 7000);
  assert.deepEqual(vanishedIn(lines), expunged);
  assert.deepEqual(fetchedIn(lines), changed);
  const until = Number(lines.map(line => /HIGHESTMODSEQ (\d+)/u.exec(line)?.[1]).find(n => n !== undefined));
  assert.deepEqual(
    (await client.command(`SELECT Away (QRESYNC (${VALIDITY} ${until}))`)).filter(line =>
      /VANISHED|FETCH/u.test(line),
    ),
    [],
  );
  // One that was there all the time is told the same, but for messages that it never saw.
  const news = await watching.command("NOOP");
  assert.deepEqual(
    vanishedIn(news),
    expunged.filter(uid => uid <= MESSAGES),
  );
  assert.deepEqual(
    fetchedIn(news),
    changed.filter(line => Number(line.split(" ")[0]) <= MESSAGES),
  );
  assert.deepEqual(
    fetchedIn(await watching.command(`UID FETCH 9000:* (FLAGS) (CHANGEDSINCE ${since})`)),
    changed.filter(line => Number(line.split(" ")[0]) >= 9000),
  );
});

test("expunges that were forgotten are told all the same, as what is missing", async () => {
  const { db } = service;
  const mailbox = await newMailbox("Forgotten", 100);
  const client = await resyncing();
  await db.run`delete from entries where mailbox_id = ${mailbox} and uid in (3, 4, 90, 100)`;
  const aborted = AbortSignal.abort();
  const limits = { rowsPerStep: 1000, steps: 50, keepPerMailbox: 1 };
  assert.equal(await forgetExpunges(db, limits, aborted), 0, "it stops when it is told to");
  assert.deepEqual(await expungedIn(mailbox, 0), [3, 4, 90, 100]);
  await forgetExpunges(db, limits);
  assert.deepEqual(await expungedIn(mailbox, 0), [100]);
  const missed = async (known: string) =>
    vanishedIn(await client.command(`SELECT Forgotten (QRESYNC (7 101${known}))`));
  assert.deepEqual(await missed(""), [3, 4, 90, 100]);
  assert.deepEqual(await missed(" 1:50"), [3, 4]);
  assert.deepEqual(await missed(" 1:100 (1:2,10 1:2,12)"), [90, 100]);
});

async function idling(mailbox: string): Promise<ImapTestClient> {
  const client = await resyncing();
  assert.match((await client.command(`SELECT ${mailbox}`)).at(-1) ?? "", /^OK/u);
  client.send("i IDLE\r\n");
  assert.equal(await client.line(), "+ idling");
  return client;
}

test("a session in IDLE is told when its mailbox is removed, or another one is in its place", async () => {
  const { db, changes, reader, account } = service;
  const removed = await newMailbox("Removed", 0);
  const replaced = await newMailbox("Replaced", 0);
  const clients = [await idling("Removed"), await idling("Replaced")];
  await db.run`delete from mailboxes where id = ${removed}`;
  await db.begin(async tx => {
    // As an import does that keeps the UIDVALIDITY of its source.
    await tx.run`alter table mailboxes disable trigger mailboxes_guard`;
    await tx.run`update mailboxes set uidvalidity = ${VALIDITY + 1}, highest_modseq = highest_modseq + 1 where id = ${replaced}`;
    await tx.run`alter table mailboxes enable trigger mailboxes_guard`;
  });
  for (const { id } of [await reader.status(account, "Replaced"), { id: removed as never }])
    changes.publish([id]);
  for (const client of clients) {
    assert.match(await client.line(), /^i NO \[NONEXISTENT\] The selected mailbox was removed or replaced$/u);
    assert.match(await client.line(), /^\* BYE /u);
  }
  const again = await resyncing();
  assert.ok(
    (await again.command("SELECT Replaced")).includes(`* OK [UIDVALIDITY ${VALIDITY + 1}] UIDs valid`),
  );
  assert.match((await again.command("SELECT Removed")).at(-1) ?? "", /^NO \[NONEXISTENT\]/u);
});

/** Fails to answer while `broken.is`. */
function failing(db: Db, broken: { is: boolean; failures: number }): Db {
  return {
    ...db,
    query(strings, ...values) {
      if (!broken.is) return db.query(strings, ...values);
      broken.failures += 1;
      return Promise.reject(new MairustError("store_unavailable", "Cannot ask the database: it is away"));
    },
  };
}

test("a refresh that fails is tried again while somebody waits, and by nobody else", async () => {
  const { db, changes, account } = service;
  const mailbox = await newMailbox("Broken", 3);
  const broken = { is: false, failures: 0 };
  const hub = new MailboxHub(() => failing(db, broken), changes, silentLog, { retryMs: 1 });
  const box: OpenMailbox | undefined = await hub.open(account, "Broken");
  assert.ok(box);
  const heard = new Promise<void>(resolve => {
    box.onChange(resolve);
  });
  broken.is = true;
  await db.run`delete from entries where mailbox_id = ${mailbox} and uid = 2`;
  changes.publish([box.info.id]);
  while (broken.failures < 3) await new Promise(resolve => setImmediate(resolve));
  broken.is = false;
  await heard;
  assert.deepEqual(uidsOf(box.snapshot()), [1, 3]);
  box.close();
  hub.close();
});
