/** A real database, real blob files and one account, with mail put in by hand: for tests of what happens to mail at rest. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseMailAddress } from "../../../src/core/envelope.ts";
import { type BlobDigest, messageId } from "../../../src/core/ids.ts";
import type { BlobRecord } from "../../../src/core/ports/blobs.ts";
import type { MessageStore } from "../../../src/core/ports/store.ts";
import { uuid7Generator } from "../../../src/platform/uuid7.ts";
import { createAccount } from "../../../src/store/accounts.ts";
import { openFsBlobs } from "../../../src/store/blobs-fs.ts";
import { MailboxChanges } from "../../../src/store/changes.ts";
import type { Db } from "../../../src/store/db.ts";
import { createMessageStore } from "../../../src/store/deliver.ts";
import { silentLog, startTestDatabase } from "../../lib/database.ts";
import { plainDelivery } from "../../lib/plain-delivery.ts";

export type StoredMail = Awaited<ReturnType<typeof openStoredMail>>;

export async function openStoredMail() {
  const newId = uuid7Generator();
  const database = await startTestDatabase();
  const { db } = database;
  const folder = mkdtempSync(join(tmpdir(), "mr-mail-"));
  const blobs = await openFsBlobs({
    path: folder,
    compression: "none",
    minFreeBytes: () => 0,
    log: silentLog,
  });
  await db.query`insert into domains (name, accounts) values ('example.test', 'auto')`;
  const { id: account } = await db.begin(tx => createAccount(tx, parseMailAddress("user@example.test")));
  const storeOver = (one: Db): MessageStore =>
    createMessageStore({
      db: one,
      changes: new MailboxChanges(one, silentLog),
      log: silentLog,
      redeliveryWindowS: () => 60,
      confirmBlob: digest => blobs.confirm(digest),
      onCommit: () => undefined,
    });
  const store = storeOver(db);
  return {
    db,
    blobs,
    storeOver,
    /** Another node's connections. */
    open: () => database.open(),
    fileOf: (digest: BlobDigest) => join(folder, digest.slice(0, 2), digest.slice(2)),
    /** The file, without a row. */
    async put(bytes: Uint8Array): Promise<BlobRecord> {
      const stage = blobs.stage();
      await stage.write(bytes);
      const staged = await stage.finish();
      const record = await staged.persist();
      await staged.discard();
      return record;
    },
    /** The rows: one message in INBOX. */
    async deliver(blob: BlobRecord, over: MessageStore = store): Promise<void> {
      const [result] = await over.deliver(
        plainDelivery({
          id: messageId(newId()),
          account,
          recipient: "user@example.test",
          blob,
          bytes: Buffer.alloc(blob.sizeBytes, "x"),
        }),
      );
      if (result?.kind !== "stored") throw new Error(`not stored: ${result?.kind}`);
    },
    async stop(): Promise<void> {
      await blobs.close();
      await database.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
