/** Blobs that come again while they are collected: who may take a claim back, and what the others see then. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { after, before, test } from "node:test";
import type { BlobDigest } from "../../../src/core/ids.ts";
import { collectBlobs } from "../../../src/store/blob-gc.ts";
import { silentLog } from "../../lib/database.ts";
import { openStoredMail, type StoredMail } from "./stored-mail.ts";

let mail: StoredMail;
before(async () => {
  mail = await openStoredMail();
});
after(() => mail.stop());

/** A blob that nobody has, two days old, by its file and by its row. */
async function unused(bytes: Buffer): Promise<BlobDigest> {
  const record = await mail.put(bytes);
  await mail.deliver(record);
  await mail.db.query`
    delete from entries e using messages m
    where m.message_id = e.message_id and m.blob_digest = decode(${record.digest}, 'hex')`;
  await mail.db
    .query`update blobs set touched_at = now() - interval '2 days' where digest = decode(${record.digest}, 'hex')`;
  return record.digest;
}

async function messagesOf(digest: BlobDigest): Promise<number> {
  return (await mail.db.query`select 1 as one from messages where blob_digest = decode(${digest}, 'hex')`)
    .length;
}

test("two deliveries put the same bytes before the removal and commit after it: neither is stored without its file", async () => {
  const bytes = randomBytes(100);
  const digest = await unused(bytes);
  const [one, two] = [await mail.put(bytes), await mail.put(bytes)];
  await collectBlobs({ db: mail.db, blobs: mail.blobs, log: silentLog, orphans: false });
  assert.ok(!existsSync(mail.fileOf(digest)));
  await assert.rejects(mail.deliver(one), { code: "store_unavailable", retry: "later" });
  await assert.rejects(mail.deliver(two), { code: "store_unavailable", retry: "later" });
  assert.equal(await messagesOf(digest), 0);
  await mail.deliver(await mail.put(bytes));
  await mail.blobs.verify(digest);
  assert.equal(await messagesOf(digest), 1);
});
