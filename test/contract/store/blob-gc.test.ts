import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, utimesSync } from "node:fs";
import { after, before, test } from "node:test";
import { type BlobDigest, blobDigest } from "../../../src/core/ids.ts";
import type { BlobRecord } from "../../../src/core/ports/blobs.ts";
import { collectBlobs } from "../../../src/store/blob-gc.ts";
import type { FsBlobStore } from "../../../src/store/blobs-fs.ts";
import type { Db } from "../../../src/store/db.ts";
import { silentLog } from "../../lib/database.ts";
import { openStoredMail, type StoredMail } from "./stored-mail.ts";

let mail: StoredMail;
let db: Db;
let blobs: FsBlobStore;
before(async () => {
  mail = await openStoredMail();
  ({ db, blobs } = mail);
});
after(() => mail.stop());

const put = (bytes: Uint8Array): Promise<BlobRecord> => mail.put(bytes);
const deliver: StoredMail["deliver"] = (blob, over) => mail.deliver(blob, over);
const fileOf = (digest: BlobDigest) => mail.fileOf(digest);
const stored = (digest: BlobDigest) => existsSync(fileOf(digest));
const collect = (changes: Partial<Parameters<typeof collectBlobs>[0]> = {}) =>
  collectBlobs({ db, blobs, log: silentLog, orphans: true, ...changes });

async function expunge(digest: BlobDigest): Promise<void> {
  await db.query`
    delete from entries e using messages m
    where m.message_id = e.message_id and m.blob_digest = decode(${digest}, 'hex')`;
}

/** As if the last put or the last reference was `hours` ago. */
async function age(digest: BlobDigest, hours: number): Promise<void> {
  await db.query`
    update blobs set touched_at = now() - make_interval(hours => ${hours}::int) where digest = decode(${digest}, 'hex')`;
}

async function row(digest: BlobDigest) {
  const [found] = await db.query<{ claimed: boolean; removed: boolean }>`
    select claimed_at is not null as claimed, removed_at is not null as removed from blobs where digest = decode(${digest}, 'hex')`;
  return found;
}

test("a blob goes a day after its last message is gone, its row a week later; others stay", async () => {
  const [kept, young, gone] = [
    await put(randomBytes(10)),
    await put(randomBytes(10)),
    await put(randomBytes(10)),
  ];
  for (const blob of [kept, young, gone]) await deliver(blob);
  await expunge(young.digest);
  await expunge(gone.digest);
  await age(kept.digest, 99);
  await age(young.digest, 23);
  await age(gone.digest, 25);
  const first = await collect();
  assert.deepEqual([first.messages, first.claimed, first.removed], [1, 1, 1]);
  assert.deepEqual([stored(kept.digest), stored(young.digest), stored(gone.digest)], [true, true, false]);
  await collect();
  assert.deepEqual(await row(gone.digest), { claimed: true, removed: true });
  await db.query`update blobs set removed_at = now() - interval '169 hours' where removed_at is not null`;
  await collect();
  assert.equal(await row(gone.digest), undefined);
  assert.deepEqual(await row(kept.digest), { claimed: false, removed: false });
});

test("bytes that come again while they are collected are refused once and stored at the next try", async () => {
  const bytes = randomBytes(100);
  const { digest } = await put(bytes);
  await deliver(await put(bytes));
  await expunge(digest);
  await age(digest, 25);
  // The file is written, and the collector comes before its row.
  const again = await put(bytes);
  await collect();
  assert.equal(stored(digest), false);
  await assert.rejects(deliver(again), { code: "store_unavailable", retry: "later" });
  await deliver(await put(bytes));
  await collect();
  await blobs.verify(digest);
  assert.deepEqual(await row(digest), { claimed: false, removed: false });
});

test("a put that began before the removal waits for it and is refused", async () => {
  const bytes = randomBytes(100);
  await deliver(await put(bytes));
  const { digest } = await put(bytes);
  await expunge(digest);
  await age(digest, 25);
  let delivering: Promise<void> | undefined;
  const pausing = {
    ...lateDelete(async () => {
      // The collector holds the row and is about to unlink: this put's file is there, its row has to wait.
      delivering ??= assert.rejects(deliver(await put(bytes), mail.storeOver(await mail.open())), {
        code: "store_unavailable",
      });
    }),
  };
  await collectBlobs({ db, blobs: pausing, log: silentLog, orphans: false });
  await delivering;
  await deliver(await put(bytes));
  await collect();
  await blobs.verify(digest);
});

/** The same blobs; `before` runs ahead of each removal. */
function lateDelete(before: () => Promise<void>): FsBlobStore {
  return {
    stage: () => blobs.stage(),
    get: (digest, range) => blobs.get(digest, range),
    open: (digest, range) => blobs.open(digest, range),
    head: digest => blobs.head(digest),
    confirm: digest => blobs.confirm(digest),
    delete: async digest => {
      await before();
      await blobs.delete(digest);
    },
    list: () => blobs.list(),
    removeLeftovers: () => blobs.removeLeftovers(),
    verify: digest => blobs.verify(digest),
    freeBytes: () => blobs.freeBytes(),
    close: () => blobs.close(),
  };
}

test("files that have no row go when they are a day old", async () => {
  const [old, young, wanted] = [
    await put(randomBytes(10)),
    await put(randomBytes(10)),
    await put(randomBytes(10)),
  ];
  await deliver(wanted);
  const before = new Date(Date.now() - 25 * 3_600_000);
  for (const { digest } of [old, wanted]) utimesSync(fileOf(digest), before, before);
  const without = await collect({ orphans: false });
  assert.equal(without.claimed, 0);
  const { claimed, removed } = await collect();
  assert.deepEqual([claimed, removed], [1, 1]);
  assert.deepEqual([stored(old.digest), stored(young.digest), stored(wanted.digest)], [false, true, true]);
});

test("a second collector does nothing while one is at work", async () => {
  const { digest } = await put(randomBytes(10));
  await deliver(await put(randomBytes(10)));
  const old = new Date(Date.now() - 25 * 3_600_000);
  utimesSync(fileOf(digest), old, old);
  await db.begin(async tx => {
    await tx.query`select pg_advisory_xact_lock(1835100524)`;
    assert.deepEqual(await collect(), { messages: 0, claimed: 0, removed: 0, removedBytes: 0, leftovers: 0 });
  });
  assert.equal((await collect()).removed, 1);
});

test("whatever meets whatever: no message ever lacks its bytes", async () => {
  const contents = Array.from({ length: 6 }, () => randomBytes(40));
  const digests = contents.map(bytes => blobDigest(createHash("sha256").update(bytes).digest("hex")));
  const nodes = [undefined, mail.storeOver(await mail.open())];
  const until = Date.now() + 4_000;
  const atLast = until + 60_000;
  let refused = 0;
  let accepted = 0;
  // On a slow machine longer: each of both must have happened.
  const goesOn = () => Date.now() < until || ((accepted === 0 || refused === 0) && Date.now() < atLast);
  const deliveries = nodes.map(async node => {
    while (goesOn()) {
      const bytes = contents[Math.floor(Math.random() * contents.length)] ?? Buffer.alloc(0);
      try {
        await deliver(await put(bytes), node);
        accepted += 1;
      } catch {
        refused += 1;
      }
    }
  });
  const removals = (async () => {
    while (goesOn())
      await expunge(digests[Math.floor(Math.random() * digests.length)] ?? (digests[0] as BlobDigest));
  })();
  const collectors = [db, await mail.open()].map(async one => {
    while (goesOn()) {
      const orphans = Math.random() < 0.3;
      // A row must stay for longer than a delivery needs from its file to its row, on a busy machine too.
      await collectBlobs({ db: one, blobs, log: silentLog, orphans, unusedS: 0, forgetS: 30 }).catch(
        () => undefined,
      );
    }
  });
  await Promise.all([...deliveries, removals, ...collectors]);
  const rows = await db.query<{ digest: string }>`
    select distinct encode(m.blob_digest, 'hex') as digest from messages m join entries e on e.message_id = m.message_id`;
  for (const { digest } of rows) await blobs.verify(blobDigest(digest));
  assert.ok(accepted > 0 && refused > 0, `accepted ${accepted}, refused ${refused}`);
});
