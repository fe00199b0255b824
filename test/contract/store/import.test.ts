import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type AccountId, accountId, messageId } from "../../../src/core/ids.ts";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { ImportMessage, ImportStore } from "../../../src/core/ports/transfer.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import { createExportStore } from "../../../src/store/export.ts";
import { createImportStore } from "../../../src/store/import.ts";
import { silentLog } from "../../lib/database.ts";
import { openStoredMail, type StoredMail } from "./stored-mail.ts";

const newId = uuid7Generator();
let mail: StoredMail;
let store: ImportStore;
let account: AccountId;

before(async () => {
  mail = await openStoredMail();
  store = createImportStore({
    db: mail.db,
    changes: new MailboxChanges(mail.db, silentLog),
    confirmBlob: digest => mail.blobs.confirm(digest),
    onCommit: () => undefined,
  });
  const [row] = await mail.db.query<{ id: number }>`select id from accounts`;
  account = accountId(row?.id ?? 0);
});
after(() => mail.stop());

async function imported(key: string, text: string): Promise<ImportMessage> {
  const bytes = Buffer.from(text);
  const blob = await mail.put(bytes);
  const scanner = new MessageScanner();
  scanner.write(bytes);
  const structure = scanner.end();
  const internalDate = new Date("2020-01-01T00:00:00Z");
  const flags = { system: 1, keywords: ["b", 'a"\\{,}'.replace(/["\\{]/gu, "")] };
  return {
    key,
    sourceUid: undefined,
    flags,
    internalDate,
    digest: blob.digest,
    delivery: {
      messageId: messageId(newId()),
      receivedAt: internalDate,
      blob,
      structure: packStructure(structure),
      header: structure.headerBytes,
      headerBytes: structure.headerSizeBytes,
      messageIdHeader: undefined,
      subject: "x\0y",
      from: "",
      threadKey: undefined,
      attachments: 0,
      queueId: "",
      mailFrom: "",
      events: [{ at: new Date(), kind: "added", data: {} }],
      targets: [
        {
          accountId: account,
          recipient: "user@example.test",
          mailbox: "INBOX",
          ifMissing: "fail",
          flags,
          internalDate,
          prefix: new Uint8Array(0),
          metadata: {},
          exactlyOnce: false,
          events: [],
        },
      ],
    },
  };
}

test("a batch is stored with its keys in one transaction; a key that is known is stored once", async () => {
  const { id } = await store.start(account, { kind: "maildir", source: "somewhere" }, false);
  const batch = [await imported("k1", "Subject: 1\r\n\r\n"), await imported("k2", "Subject: 2\r\n\r\n")];
  const first = await store.add(account, "INBOX", id, undefined, batch);
  assert.deepEqual(first, [
    { kind: "stored", uid: 1 },
    { kind: "stored", uid: 2 },
  ]);
  const again = [await imported("k1", "Subject: 1\r\n\r\n"), await imported("k3", "Subject: 3\r\n\r\n")];
  assert.deepEqual(await store.add(account, "INBOX", id, undefined, again), [
    { kind: "already", uid: 1 },
    { kind: "stored", uid: 3 },
  ]);
  const { copied } = await store.get(id);
  assert.equal(copied, 3);
  const events = await mail.db.query<{ kinds: string }>`
    select (select string_agg(e->>'kind', ',') from jsonb_array_elements(list) e) as kinds from events`;
  assert.deepEqual([...new Set(events.map(row => row.kinds))], ["added,stored"]);
});

/** A batch whose second blob the collector has claimed. */
async function withClaimed(name: string) {
  const batch = [
    await imported(`${name}1`, `Subject: ${name}1\r\n\r\n`),
    await imported(`${name}2`, `Subject: ${name}2\r\n\r\n`),
  ];
  const claimed = batch[1]?.digest;
  assert.ok(claimed !== undefined);
  await mail.db.query`
    insert into blobs (digest, size_bytes, stored_bytes, codec, claimed_at)
    values (${`\\x${claimed}`}::bytea, 14, 14, 'none', now())`;
  return { batch, claimed };
}

test("a blob that the collector has claimed is taken back when its file is there", async () => {
  const { id } = await store.start(account, { kind: "maildir", source: "somewhere" }, false);
  const { batch, claimed } = await withClaimed("c");
  const stored = await store.add(account, "INBOX", id, undefined, batch);
  assert.deepEqual(
    stored.map(one => one.kind),
    ["stored", "stored"],
  );
  const [row] = await mail.db.query<{ live: boolean }>`
    select claimed_at is null and removed_at is null as live from blobs where digest = ${`\\x${claimed}`}::bytea`;
  assert.equal(row?.live, true);
});

test("a blob whose file the collector has removed refuses the batch, and nothing of it is stored", async () => {
  const { id } = await store.start(account, { kind: "maildir", source: "somewhere" }, false);
  const { batch, claimed } = await withClaimed("d");
  await mail.blobs.delete(claimed);
  await assert.rejects(store.add(account, "INBOX", id, undefined, batch), {
    code: "store_unavailable",
    retry: "later",
  });
  const keys = batch.map(({ key, flags }) => ({ key, flags }));
  const compared = await store.compare(account, "INBOX", id, keys, false);
  assert.deepEqual(
    compared.map(one => one.kind),
    ["new", "new"],
  );
});

test("how far a folder was seen is known at the next pass, and not with another UIDVALIDITY; flags that were not listed stay", async () => {
  const { id } = await store.start(account, { kind: "imap", source: "there" }, false);
  const folder = { source: "where", uidValidity: 5 };
  const open = (more: object = {}) =>
    store.openMailbox(account, "Seen", {
      ...{ subscribe: false, source: undefined, folder: { ...folder, ...more }, dryRun: false },
    });
  assert.equal((await open()).sourceModseq, undefined);
  await store.add(account, "Seen", id, undefined, [await imported("s1", "Subject: s\r\n\r\n")]);
  const modseq = 9_007_199_254_740_993n;
  await store.closeMailbox(account, "Seen", id, undefined, { ...folder, modseq });
  assert.equal((await open()).sourceModseq, modseq);
  assert.equal((await open({ uidValidity: 6 })).sourceModseq, undefined);
  const listed = [
    { key: "s1", flags: undefined },
    { key: "s2", flags: undefined },
  ];
  const compared = await store.compare(account, "Seen", id, listed, false);
  assert.deepEqual(
    compared.map(one => one.kind),
    ["same", "new"],
  );
});

test("of two exports of an account only the younger goes on, and it knows where the older was busy", async () => {
  const exports = createExportStore(mail.db);
  const older = await exports.start(account, "u@there");
  const there = { folder: "Inbox", uidValidity: 9 };
  await exports.openMailbox(account, older.id, "INBOX", there);
  const message = { uid: 1, thereUid: 11, flags: { system: 1, keywords: ["k"] } };
  const progress = { messages: [message], forget: [], appendingTo: "Inbox", copied: 1, copiedBytes: 5 };
  await exports.record(account, older.id, "INBOX", progress);
  const younger = await exports.start(account, "u@there");
  assert.equal(younger.appendingTo, "Inbox");
  await assert.rejects(exports.record(account, older.id, "INBOX", progress), { code: "invalid_state" });
  await exports.openMailbox(account, younger.id, "INBOX", there);
  const known = await exports.known(account, younger.id, "INBOX", { after: 0, limit: 3 });
  assert.deepEqual(
    known.map(row => [row.uid, row.thereUid, row.flags.system]),
    [
      [1, 11, 1],
      [2, undefined, 1],
      [3, undefined, 1],
    ],
    "those that were imported only say their flags",
  );
  assert.equal((await exports.start(account, "u@elsewhere")).appendingTo, undefined);
});

test("a message there stands for one of ours, and with another UIDVALIDITY nothing is known", async () => {
  const exports = createExportStore(mail.db);
  const { id } = await exports.start(account, "u@there");
  const open = (uidValidity: number) =>
    exports.openMailbox(account, id, "INBOX", { folder: "Inbox", uidValidity });
  const row = (uid: number, thereUid: number) => ({ uid, thereUid, flags: { system: 0, keywords: [] } });
  const none = { forget: [], appendingTo: undefined, copied: 0, copiedBytes: 0 };
  const rows = async () =>
    (await exports.known(account, id, "INBOX", { after: 0, limit: 10 })).flatMap(({ uid, thereUid }) =>
      thereUid === undefined ? [] : [[uid, thereUid]],
    );
  await open(9);
  await exports.record(account, id, "INBOX", { ...none, messages: [row(2, 11)] });
  assert.deepEqual(await rows(), [[2, 11]]);
  await exports.record(account, id, "INBOX", { ...none, messages: [row(3, 12)], forget: [2] });
  assert.deepEqual(await rows(), [[3, 12]]);
  await open(10);
  assert.deepEqual(await rows(), []);
});
