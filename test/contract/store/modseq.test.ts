/**
 * All who write to a mailbox take its MODSEQs under the lock of its row: then commits are in MODSEQ order, and who has read up to
 * HIGHESTMODSEQ has missed nothing (RFC 7162 §3.1). Each writer here comes while another one has changed the mailbox and not yet
 * committed. One that numbers its changes before it has the lock gives a MODSEQ twice, or one that a reader has passed.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MairustError } from "../../../src/core/errors.ts";
import { type AccountId, accountId, type MessageId, mailboxId, messageId } from "../../../src/core/ids.ts";
import type { MessageChanges } from "../../../src/core/ports/hooks.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { addSeen } from "../../../src/store/add-seen.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import type { Db } from "../../../src/store/db.ts";
import { createFlagWriter } from "../../../src/store/flag-writer.ts";
import { createImportStore } from "../../../src/store/import.ts";
import { MailboxHub } from "../../../src/store/mailbox-hub.ts";
import { createStoredMessages } from "../../../src/store/message-changes.ts";
import { silentLog } from "../../lib/database.ts";
import { plainDelivery } from "../../lib/plain-delivery.ts";
import { messagesOf } from "../../lib/snapshots.ts";
import { NO_CHANGES } from "../jobs/results-rig.ts";
import { openStoredMail, type StoredMail } from "./stored-mail.ts";

const RECIPIENT = "user@example.test";
const TEXT = Buffer.from("Subject: x\r\n\r\ntext\r\n");
/** A writer gives up waiting for the lock after some seconds: then all is done once more. */
const TRIES = 5;

const newId = uuid7Generator();
let mail: StoredMail;
let account: AccountId;
let inbox: number;
/** The writer's own connections. */
let node: Db;
let changes: MailboxChanges;

before(async () => {
  mail = await openStoredMail();
  node = await mail.open();
  changes = new MailboxChanges(node, silentLog);
  const [row] = await mail.db.query<{ account_id: number; id: number }>`
    select account_id, id from mailboxes where name = 'INBOX'`;
  account = accountId(row?.account_id ?? 0);
  inbox = row?.id ?? 0;
});
after(async () => {
  await changes?.stop();
  await mail?.stop();
});

const blob = () => mail.put(TEXT);

/** @returns the id and the UID of a new message in INBOX */
async function newMessage(): Promise<{ readonly id: MessageId; readonly uid: number }> {
  await mail.deliver(await blob());
  const [row] = await mail.db.query<{ id: string; uid: number }>`
    select message_id::text as id, uid from entries where mailbox_id = ${inbox} order by uid desc limit 1`;
  assert.ok(row);
  return { id: messageId(row.id), uid: row.uid };
}

const importStore = () =>
  createImportStore({
    db: node,
    changes,
    confirmBlob: digest => mail.blobs.confirm(digest),
    onCommit: () => undefined,
  });

async function toImport(key: string) {
  const stored = await blob();
  const flags = { system: 0, keywords: [] };
  const id = messageId(newId());
  const delivery = plainDelivery({ id, account, recipient: RECIPIENT, blob: stored, bytes: TEXT });
  return { key, sourceUid: undefined, flags, internalDate: new Date(0), digest: stored.digest, delivery };
}

async function change(id: MessageId, what: Partial<MessageChanges>): Promise<void> {
  await createStoredMessages({ db: node, changes }).apply({
    ...{
      messageId: id,
      accounts: [account],
      changes: { ...NO_CHANGES, ...what },
      by: [],
      job: "test",
      events: [],
    },
  });
}

/** What makes it ready, without a lock; what it answers is the writer. */
type Writer = () => Promise<() => Promise<unknown>>;

const WRITERS: Readonly<Record<string, Writer>> = {
  delivery: async () => {
    const stored = await blob();
    return () => mail.deliver(stored, mail.storeOver(node));
  },
  "relayed copy": async () => {
    const { id } = await newMessage();
    const [copy] = await mail.db.query<{ id: number }>`
      insert into relay_copies
        (message_id, kind, account_id, address, domain, mailbox, flags, keywords, internal_date, prefix, metadata, wishes)
      values (${id}::uuid, 'mirror', ${account}, ${RECIPIENT}, 'example.test', 'INBOX', 0, '{}', now(), '', '{}', '[]')
      returning id`;
    const wanted = `{${copy?.id}}`;
    return () => node.query`select * from relay_settle(${wanted}::text::bigint[], 5000, 60)`;
  },
  "tag of a plugin": async () => {
    const { id } = await newMessage();
    return () => change(id, { tagsAdd: ["new"] });
  },
  "move of a plugin": async () => {
    const { id } = await newMessage();
    return () => change(id, { folder: "Archive" });
  },
  "imported message": async () => {
    const store = importStore();
    const { id } = await store.start(account, { kind: "maildir", source: "somewhere" }, false);
    const message = await toImport("added");
    return () => store.add(account, "INBOX", id, undefined, [message]);
  },
  "imported flags": async () => {
    const store = importStore();
    const { id } = await store.start(account, { kind: "maildir", source: "somewhere" }, false);
    const key = `flagged-${newId()}`;
    await store.add(account, "INBOX", id, undefined, [await toImport(key)]);
    const flags = { system: 4, keywords: ["there"] };
    return () => store.compare(account, "INBOX", id, [{ key, flags }], false);
  },
  "flags of a client": async () => {
    const { uid } = await newMessage();
    const [box] = await mail.db.query<{
      v: number;
    }>`select uidvalidity as v from mailboxes where id = ${inbox}`;
    return () =>
      createFlagWriter(
        () => node,
        () => undefined,
        changes,
      ).change({
        ...{ mailbox: mailboxId(inbox), uidValidity: box?.v ?? 0, uids: Uint32Array.of(uid), op: "add" },
        ...{
          flags: { system: 4, keywords: ["theirs"] },
          unchangedSince: undefined,
          by: { peer: "x", user: "y" },
        },
      });
  },
  "read elsewhere": async () => {
    const { uid } = await newMessage();
    const [box] = await mail.db.query<{
      v: number;
    }>`select uidvalidity as v from mailboxes where id = ${inbox}`;
    return () => node.begin(tx => addSeen(tx, account, "INBOX", box?.v ?? 0, [uid]));
  },
};

const modseqs = async () =>
  (
    await mail.db.query<{ modseq: number }>`
      select modseq from entries where mailbox_id = ${inbox} union all
      select modseq from expunged where mailbox_id = ${inbox} order by modseq`
  ).map(row => row.modseq);

const highest = async () =>
  (await mail.db.query<{ h: number }>`select highest_modseq as h from mailboxes where id = ${inbox}`)[0]?.h ??
  0;

async function untilSomebodyWaits(ended: () => boolean): Promise<void> {
  const waiting = () =>
    mail.db
      .query`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
  while (!ended() && (await waiting()).length === 0) await new Promise(resolve => setTimeout(resolve, 5));
}

/** @returns what became of the writer; it came when `uid` was changed with the next MODSEQ and not committed */
async function writeBehind(uid: number, write: () => Promise<unknown>): Promise<unknown> {
  let outcome: Promise<unknown> = Promise.resolve();
  await mail.db.begin(async tx => {
    await tx.query`select 1 from mailboxes where id = ${inbox} for no key update`;
    let ended = false;
    outcome = write()
      .catch(error => error)
      .finally(() => {
        ended = true;
      });
    await untilSomebodyWaits(() => ended);
    await tx.run`
      update entries e set modseq = m.highest_modseq + 1, flags = (e.flags + 4) % 8 from mailboxes m
      where m.id = e.mailbox_id and m.id = ${inbox} and e.uid = ${uid}`;
  });
  return outcome;
}

for (const [name, prepare] of Object.entries(WRITERS)) {
  test(`MODSEQs are taken under the lock of the mailbox: ${name}`, async () => {
    const { uid } = await newMessage();
    const reader = await new MailboxHub(() => mail.db, changes, silentLog).open(account, "INBOX");
    assert.ok(reader);
    for (let left = TRIES; ; left -= 1) {
      const write = await prepare();
      const before = await highest();
      let ended = false;
      const writing = writeBehind(uid, write).finally(() => {
        ended = true;
      });
      // As soon as the first change is there, be the second one committed or not.
      while ((await reader.refresh()).highestModseq === before && !ended)
        await new Promise(resolve => setTimeout(resolve, 1));
      const error = await writing;
      if (error instanceof MairustError && error.code === "store_unavailable" && left > 1) continue;
      assert.ok(!(error instanceof Error), String(error));
      const given = (await modseqs()).filter(modseq => modseq > before);
      assert.ok(given.length >= 2, `one of ${given.length} changes is missing`);
      assert.equal(given[0], before + 1);
      assert.equal(new Set(given).size, given.length, `a MODSEQ was given twice: ${given}`);
      assert.equal(given.at(-1), await highest());
      break;
    }
    const fresh = await new MailboxHub(() => mail.db, changes, silentLog).open(account, "INBOX");
    assert.deepEqual(messagesOf(await reader.refresh()), messagesOf((fresh ?? reader).snapshot()));
    reader.close();
  });
}
