/** Blobs that come again while they are collected: who may take a claim back, and what the others see then. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, utimesSync } from "node:fs";
import { after, before, test } from "node:test";
import type { BlobDigest } from "../../../src/core/ids.ts";
import type { BlobStore } from "../../../src/core/ports/blobs.ts";
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

test("files without a row are left alone when they are many, and taken when they are few", async () => {
  const { db, blobs } = mail;
  const files = await Promise.all(Array.from({ length: 4 }, () => mail.put(randomBytes(20))));
  const before = new Date(Date.now() - 25 * 3_600_000);
  for (const { digest } of files) utimesSync(mail.fileOf(digest), before, before);
  const errors: string[] = [];
  const log = { ...silentLog, error: (event: string) => void errors.push(event) };
  // More than the share, though one run would take only two of them.
  const limits = { few: 3, share: 0.5, taken: 2 };
  const braked = await collectBlobs({ db, blobs, log, orphans: true, orphanLimits: limits });
  assert.equal(braked.claimed, 0);
  assert.deepEqual(errors, ["blob files without a row left alone: too many"]);
  assert.ok(files.every(({ digest }) => existsSync(mail.fileOf(digest))));
  const taken = await collectBlobs({ db, blobs, log, orphans: true, orphanLimits: { ...limits, few: 4 } });
  assert.deepEqual([taken.claimed, taken.removed], [2, 2]);
});

test("a file that cannot be removed stays claimed, holds up nobody, and goes the next time", async () => {
  const { db, blobs } = mail;
  const [stuck, other] = [await unused(randomBytes(30)), await unused(randomBytes(30))];
  const errors: string[] = [];
  const log = { ...silentLog, error: (event: string) => void errors.push(event) };
  const refusing: BlobStore = {
    stage: () => blobs.stage(),
    get: (digest, range) => blobs.get(digest, range),
    open: (digest, range) => blobs.open(digest, range),
    head: digest => blobs.head(digest),
    confirm: digest => blobs.confirm(digest),
    list: () => blobs.list(),
    removeLeftovers: () => blobs.removeLeftovers(),
    freeBytes: () => blobs.freeBytes(),
    verify: digest => blobs.verify(digest),
    delete: digest => (digest === stuck ? Promise.reject(new Error("EIO")) : blobs.delete(digest)),
  };
  await collectBlobs({ db, blobs: refusing, log, orphans: false });
  assert.deepEqual(errors, ["blob not removed"]);
  assert.deepEqual([existsSync(mail.fileOf(stuck)), existsSync(mail.fileOf(other))], [true, false]);
  await collectBlobs({ db, blobs, log, orphans: false });
  assert.ok(!existsSync(mail.fileOf(stuck)));
});

test("a file that is back although its row says removed (a loss of power) goes again", async () => {
  const { db, blobs } = mail;
  const bytes = randomBytes(40);
  const digest = await unused(bytes);
  await collectBlobs({ db, blobs, log: silentLog, orphans: false });
  await mail.put(bytes);
  const before = new Date(Date.now() - 25 * 3_600_000);
  utimesSync(mail.fileOf(digest), before, before);
  await collectBlobs({ db, blobs, log: silentLog, orphans: true });
  assert.ok(!existsSync(mail.fileOf(digest)));
});
