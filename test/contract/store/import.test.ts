import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type AccountId, accountId, messageId } from "../../../src/core/ids.ts";
import { packStructure } from "../../../src/core/mime/packed.ts";
import { MessageScanner } from "../../../src/core/mime/scanner.ts";
import type { ImportMessage, ImportStore } from "../../../src/core/ports/transfer.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
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
