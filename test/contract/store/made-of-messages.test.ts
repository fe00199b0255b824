/** What standing jobs and a client's SORT write of messages that somebody removes at the same time, and how they read many of them. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accountId, type MailboxId, type MessageId, mailboxId, messageId } from "../../../src/core/ids.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import type { Db } from "../../../src/store/db.ts";
import { createImapTextStore } from "../../../src/store/imap-texts.ts";
import { MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { createMailboxReader } from "../../../src/store/mailboxes.ts";
import { createMessageKeyStore } from "../../../src/store/message-keys.ts";
import { createMessageOrder } from "../../../src/store/message-order.ts";
import { createSearchTextStore } from "../../../src/store/search-texts.ts";
import { silentLog } from "../../lib/database.ts";
import { openStoredMail, type StoredMail } from "./stored-mail.ts";

const MESSAGES = 20_000;
const never = new AbortController().signal;

let mail: StoredMail;
before(async () => {
  mail = await openStoredMail();
});
after(() => mail?.stop());

async function newIds(): Promise<readonly MessageId[]> {
  for (let i = 0; i < 2; i++) await mail.deliver(await mail.put(Buffer.from("Subject: x\r\n\r\ntext\r\n")));
  const rows = await mail.db.query<{ id: string }>`
    select message_id::text as id from entries order by uid desc limit 2`;
  return rows.map(row => messageId(row.id));
}

const WRITERS: Readonly<Record<string, (ids: readonly MessageId[]) => Promise<void>>> = {
  message_keys: ids =>
    createMessageKeyStore({ db: mail.db, blobs: mail.blobs, log: silentLog }).make(ids, never),
  imap_texts: ids =>
    createImapTextStore(mail.db, 1).save(
      ids.map(id => ({
        messageId: id,
        complete: true,
        again: false,
        preview: "",
        prefixKeys: "",
        grams: new Int32Array(0),
      })),
    ),
  search_texts: ids =>
    createSearchTextStore(mail.db).save(
      ids.map(id => ({
        ...{ messageId: id, outcome: "complete", reason: undefined, again: false, folded: "" },
        grams: new Int32Array(0),
      })),
    ),
};

for (const [table, write] of Object.entries(WRITERS)) {
  test(`who writes ${table} waits for nobody that removes a message`, async () => {
    const ids = await newIds();
    const [kept = "", going = ""] = ids;
    await mail.db.begin(async tx => {
      await tx.query`select 1 from messages where message_id = ${going}::uuid for update`;
      await write(ids);
    });
    const rows = await mail.db.query<{ t: string; id: string }>`
      select 'message_keys' as t, message_id::text as id from message_keys union all
      select 'imap_texts', message_id::text from imap_texts union all
      select 'search_texts', message_id::text from search_texts`;
    const written = rows.filter(row => row.t === table).map(row => row.id);
    assert.ok(written.includes(kept));
    assert.ok(!written.includes(going));
  });
}

/** A mailbox that grew at once, in tables that nobody has looked at since. */
async function grownMailbox(): Promise<MailboxId> {
  await mail.db.query`alter table entries set (autovacuum_enabled = off)`;
  const [box] = await mail.db.query<{ id: number; message: string }>`
    insert into mailboxes (account_id, name) select id, 'Grown' from accounts
    returning id, (select message_id::text from messages limit 1) as message`;
  await mail.db.query`
    insert into entries (mailbox_id, uid, modseq, message_id, internal_date, size_bytes)
    select ${box?.id ?? 0}::bigint, i, i + 1, ${box?.message ?? ""}::uuid, now(), 1 from generate_series(1, ${MESSAGES}::int) i`;
  return mailboxId(box?.id ?? 0);
}

/** @returns rows of `entries` that were looked at, as the database counts them at the end of a transaction when asked to */
async function rowsLookedAt(node: Db, work: () => Promise<unknown>): Promise<number> {
  const read = async () => {
    await node.query`select pg_stat_force_next_flush()`;
    const [row] = await node.query<{ n: number }>`
      select idx_tup_fetch + seq_tup_read as n from pg_stat_user_tables where relname = 'entries'`;
    return row?.n ?? 0;
  };
  const before = await read();
  await work();
  return (await read()) - before;
}

test("keys are made in the turns of whoever sorts or threads", async () => {
  const asked: unknown[] = [];
  const [owner] = await mail.db.query<{ id: number }>`select id from accounts`;
  const order = createMessageOrder(
    whose => {
      asked.push(whose);
      return mail.db;
    },
    () => accountId(owner?.id ?? 0),
    db => {
      asked.push("keys");
      return createMessageKeyStore({ db, blobs: mail.blobs, log: silentLog });
    },
  );
  const withoutKeys = async () => {
    await newIds();
    const rows = await mail.db.query<{ box: number; uid: number }>`
      select mailbox_id as box, uid from entries order by uid desc limit 2`;
    const mailbox = { mailboxId: mailboxId(rows[0]?.box ?? 0), uidValidity: 1 };
    return [mailbox, Uint32Array.from(rows.map(row => row.uid)).sort()] as const;
  };
  await order.sort(...(await withoutKeys()), [{ key: "SUBJECT", reverse: false }], never);
  await order.threads(...(await withoutKeys()), async rows => void (await all(rows)), never);
  assert.deepEqual(asked, [owner?.id, "keys", owner?.id, "keys"]);
});

test("what is read of a grown mailbox by UID is looked at once, not once for each page", async () => {
  const mailbox = await grownMailbox();
  const node = await mail.open();
  const changes = new MailboxChanges(node, silentLog);
  const reader = createMailboxReader(() => node, new MailboxHub(() => node, changes, silentLog));
  const order = createMessageOrder(
    () => node,
    () => undefined,
    db => createMessageKeyStore({ db, blobs: mail.blobs, log: silentLog }),
  );
  const uids = Uint32Array.from({ length: MESSAGES }, (_, i) => i + 1);
  const threads = () =>
    order.threads({ mailboxId: mailbox, uidValidity: 1 }, uids, async rows => void (await all(rows)), never);
  await threads();
  const threaded = await rowsLookedAt(node, threads);
  const fetched = await rowsLookedAt(node, () => all(reader.rows(mailbox, uids, {})));
  // Some pages may be near to the whole of the mailbox, and are read as such.
  assert.ok(threaded <= 2 * MESSAGES, `threads: ${threaded} rows for ${MESSAGES}`);
  assert.ok(fetched <= 2 * MESSAGES, `pages: ${fetched} rows for ${MESSAGES}`);
});

async function all(rows: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of rows);
}
