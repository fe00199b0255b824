/**
 * Removes blobs that no message has any more, a day after the last one was gone or they were last put (housekeeping, no message
 * passes here).
 *
 * A delivery writes the file first and its row afterwards, so the collector could take away a file that was written a moment ago for
 * a row that comes a moment later. Deleting is therefore in three steps, each a transaction, and the row stays through the first two:
 *
 *   1. claim: `claimed_at` is set on a row without references. From then on `store_deliveries` refuses to use the row (MRBLB).
 *   2. remove: the row is locked, seen to be claimed still, and the file removed while the lock is held; then `removed_at` is set.
 *   3. forget: the row goes an hour after that.
 *
 * Why nothing is lost. A delivery that commits a row for digest D wrote D's file at time W, and used the row at time U, W < U.
 * If the file was removed between W and U, the row was claimed before and still is at U unless somebody took the claim away
 * (`unclaimed`) or it was forgotten. Forgetting takes an hour from the removal, and from W to U a delivery has minutes (its
 * deadlines), so at U it sees the claim, is refused, and comes again. `unclaimed` waits for the lock of step 2, is committed
 * before the delivery tries again, and that try writes the file anew: W is later then than any removal. A revived row without file has
 * no message; it is collected like any other. So it does not matter which node collects, or where it is killed.
 *
 * Files without a row (a crash between the two) get a claimed row when they are a day old, and go the same way.
 */
import { MairustError } from "../core/errors.ts";
import { type BlobDigest, blobDigest } from "../core/ids.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Db, Queryable } from "./db.ts";

/** How long nobody needs a blob before it is claimed. */
const UNUSED_S = 24 * 3_600;
/** From the removal of the file to the end of the row: far above the time between a delivery's file and its row. */
const FORGET_S = 3_600;
/** Rows looked at in one statement. */
const PAGE = 2_000;
/** Files removed under one transaction's locks. */
const REMOVE_BATCH = 100;
/** Digests of files asked for in one statement. */
const LOOKUP_BATCH = 1_000;
/** One collector at a time, whatever node it runs on. */
const COLLECTOR_LOCK = 0x6d_61_69_6c;

export interface Collected {
  /** Messages that were in no mailbox any more. */
  readonly messages: number;
  /** Rows claimed, those made for files without a row among them. */
  readonly claimed: number;
  readonly removed: number;
  readonly removedBytes: number;
  /** Temporary files. */
  readonly leftovers: number;
}

export interface CollectorOptions {
  readonly db: Db;
  readonly blobs: BlobStore;
  /** Look for files without a row too: asks for the time of every file. */
  readonly orphans: boolean;
  /** Seconds, for tests: how long a blob is unused before its claim, and how long its row stays after its file. */
  readonly unusedS?: number;
  readonly forgetS?: number;
}

type Ages = CollectorOptions & { readonly unusedS: number; readonly forgetS: number };

/**
 * One whole run. Ends early, between two steps, when `signal` aborts: nothing is half done then.
 * @throws {MairustError} `store_unavailable` and others of database and storage: the next run goes on
 */
export async function collectBlobs(options: CollectorOptions, signal?: AbortSignal): Promise<Collected> {
  const collector = { unusedS: UNUSED_S, forgetS: FORGET_S, ...options };
  const { db, blobs } = collector;
  const unused = await claimUnused(collector, signal);
  const orphans = collector.orphans ? await claimOrphans(collector, signal) : 0;
  const { removed, removedBytes } = await removeClaimed(db, blobs, signal);
  await forget(collector);
  const leftovers = signal?.aborted === true ? 0 : await blobs.removeLeftovers();
  return {
    messages: unused.messages,
    claimed: unused.claimed + orphans,
    removed,
    removedBytes,
    leftovers,
  };
}

/**
 * Give claimed blobs back to whoever needs them: waits while one is being removed. Their files have to be written again, so what
 * comes of this try is "later". Rare: somebody stores bytes anew that nobody had for a day, within the hour in which they are collected.
 * @returns the error of this try
 */
export async function unclaimed(
  db: Db,
  digests: readonly BlobDigest[],
  cause: unknown,
): Promise<MairustError> {
  await db.query`
    update blobs set claimed_at = null, removed_at = null, touched_at = now()
    where digest = any(${hexOf(digests)}::bytea[]) and claimed_at is not null`;
  return new MairustError("store_unavailable", "Cannot store yet: the same bytes were being collected", {
    cause,
    publicText: "please try again",
  });
}

/** Step 1, page by page in digest order: messages that are in no mailbox go, then blobs without messages are claimed. */
async function claimUnused(
  { db, unusedS }: Ages,
  signal: AbortSignal | undefined,
): Promise<{ readonly messages: number; readonly claimed: number }> {
  let messages = 0;
  let claimed = 0;
  let after: string | undefined = "";
  while (after !== undefined && signal?.aborted !== true) {
    const page: Page = await db.begin(tx => claimPage(tx, after ?? "", unusedS));
    messages += page.messages;
    claimed += page.claimed;
    after = page.last;
  }
  return { messages, claimed };
}

interface Page {
  readonly messages: number;
  readonly claimed: number;
  /** Where the next page begins; undefined: this was the last. */
  readonly last: string | undefined;
}

const LAST_PAGE: Page = { messages: 0, claimed: 0, last: undefined };

async function claimPage(tx: Queryable, after: string, unusedS: number): Promise<Page> {
  if (!(await isCollector(tx))) return LAST_PAGE;
  const rows = await tx.query<{ digest: string; old: boolean }>`
    select encode(digest, 'hex') as digest,
           claimed_at is null and touched_at < now() - make_interval(secs => ${unusedS}::float8) as old
    from blobs where digest > decode(${after}, 'hex') order by digest limit ${PAGE}`;
  const last = rows.length < PAGE ? undefined : rows.at(-1)?.digest;
  const old = rows.filter(row => row.old).map(row => blobDigest(row.digest));
  if (old.length === 0) return { messages: 0, claimed: 0, last };
  const messages = await tx.run`
    delete from messages m where m.blob_digest = any(${hexOf(old)}::bytea[])
      and not exists (select from entries e where e.message_id = m.message_id)`;
  // The row may have been put again since it was read: its time is asked for once more, under its lock.
  const claimed = await tx.run`
    update blobs b set claimed_at = now()
    where b.digest = any(${hexOf(old)}::bytea[]) and b.claimed_at is null
      and b.touched_at < now() - make_interval(secs => ${unusedS}::float8)
      and not exists (select from messages m where m.blob_digest = b.digest)`;
  return { messages, claimed, last };
}

/** Step 1 for files that have no row. */
async function claimOrphans({ db, blobs, unusedS }: Ages, signal: AbortSignal | undefined): Promise<number> {
  const before = Date.now() - unusedS * 1_000;
  let claimed = 0;
  let batch: { digest: BlobDigest; bytes: number }[] = [];
  const flush = async () => {
    const files = batch;
    batch = [];
    if (files.length === 0) return;
    claimed += await db.begin(async tx => {
      if (!(await isCollector(tx))) return 0;
      return tx.run`
        insert into blobs (digest, size_bytes, stored_bytes, codec, claimed_at)
        select d, s, s, 'none', now() from unnest(${hexOf(files.map(file => file.digest))}::bytea[], ${files.map(file => file.bytes)}::bigint[]) as f (d, s)
        order by d on conflict (digest) do nothing`;
    });
  };
  for await (const { digest, modifiedAt, storedBytes } of blobs.list()) {
    if (signal?.aborted === true) break;
    if (modifiedAt.getTime() >= before) continue;
    batch.push({ digest, bytes: storedBytes });
    if (batch.length >= LOOKUP_BATCH) await flush();
  }
  await flush();
  return claimed;
}

/** Step 2. */
async function removeClaimed(
  db: Db,
  blobs: BlobStore,
  signal: AbortSignal | undefined,
): Promise<{ readonly removed: number; readonly removedBytes: number }> {
  let removed = 0;
  let removedBytes = 0;
  let after: string | undefined = "";
  while (after !== undefined && signal?.aborted !== true) {
    const from: string = after;
    const rows: { digest: string; stored_bytes: number }[] = await db.begin(async tx => {
      if (!(await isCollector(tx))) return [];
      const locked = await tx.query<{ digest: string; stored_bytes: number }>`
        select encode(digest, 'hex') as digest, stored_bytes from blobs
        where claimed_at is not null and removed_at is null and digest > decode(${from}, 'hex')
        order by digest limit ${REMOVE_BATCH} for update skip locked`;
      const digests = locked.map(row => blobDigest(row.digest));
      for (const digest of digests) await blobs.delete(digest);
      // clock_timestamp(): the hour begins after the last removal, not with the transaction.
      await tx.query`update blobs set removed_at = clock_timestamp() where digest = any(${hexOf(digests)}::bytea[])`;
      return locked;
    });
    removed += rows.length;
    removedBytes += rows.reduce((sum, row) => sum + row.stored_bytes, 0);
    after = rows.length < REMOVE_BATCH ? undefined : rows.at(-1)?.digest;
  }
  return { removed, removedBytes };
}

/** Step 3. A message that refers to the row would be a bug elsewhere: the foreign key refuses then. */
async function forget({ db, forgetS }: Ages): Promise<void> {
  await db.query`delete from blobs where removed_at < now() - make_interval(secs => ${forgetS}::float8) and claimed_at is not null`;
}

/** Held to the end of the transaction. */
async function isCollector(tx: Queryable): Promise<boolean> {
  const [row] = await tx.query<{
    mine: boolean;
  }>`select pg_try_advisory_xact_lock(${COLLECTOR_LOCK}) as mine`;
  return row?.mine === true;
}

const hexOf = (digests: readonly BlobDigest[]) => digests.map(digest => `\\x${digest}`);
