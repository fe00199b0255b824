/**
 * Removes blobs that no message has any more, a day after the last one was gone or they were last put (housekeeping, no message
 * passes here).
 *
 * The race: a delivery writes the file first and commits the row that refers to it afterwards; in between the collector may take the
 * file away. Rows go
 *
 *     live ──claim──► claimed ──remove──► removed ──forget, a week later──► no row
 *       ▲───────────────┴─────revive────────┘            (file without row ──claim──► claimed)
 *
 * and five rules hold:
 *   1. A file is unlinked only inside a transaction that holds FOR UPDATE on its row, which an earlier, committed transaction claimed.
 *   2. A delivery inserts or updates the blob's row in the transaction that inserts the message, and so holds the row until it
 *      commits. `store_deliveries` refuses claimed and removed rows (MRBLB), and nothing of the batch is stored.
 *   3. A claim is taken back (`blob-revive.ts`) only under FOR UPDATE, after the file was hashed and is durable under its name.
 *   4. A row is claimed only under FOR UPDATE, and only when a statement that began under that lock sees no message that has it.
 *   5. A removed row stays for `FORGET_S`, and a delivery whose put began more than six hours ago is refused (`put-age.ts`).
 *
 * Claim: a committed message has its file. Proof: let a delivery put the file at s, reach its blob row at i, commit at c; s < i < c. While
 * the message exists its blob is never claimed after c (4), so no later unlink can touch it (1). An unlink at u < c had its row
 * claimed and committed before u, and held its lock until its own end.
 *   · u > i: between i and c the delivery holds the row (2), so the unlinker got it before i and let it go by i: no u > i.
 *   · s < u < i: at i the row is (a) claimed or removed, then the delivery is refused (2); (b) revived since, whoever did it, then the
 *     file was proven after u (3), and this argument holds with that moment for s; (c) forgotten, then a week lies between u and i, and
 *     s < u: the delivery is refused (5). Unlinked and the row not yet "removed" (killed, rolled back): it is still claimed, case (a).
 *   · u < s: the delivery put the file after the unlink, and no other unlink follows, as above.
 * A delivery that inserts while a row is being claimed waits for it: one row per digest. Rule 5 needs clocks that run about equally fast,
 * within a factor of 28, and a process that is not stopped for a week between looking at its clock and sending the statement. Rule 1
 * needs a process that is not stopped between hearing that its session lives and the unlink that follows: when it sleeps there until
 * PostgreSQL ends the session, and the same bytes are stored meanwhile, their file goes. `scrub` tells of it.
 *
 * Killed anywhere: before a commit nothing but an unlink has happened, to a row that stays claimed and is removed again next time. After
 * a loss of power an unlinked file may be back: it is a file without a row then, and goes as such. A delivery that is refused and
 * finds no file ends with a transient failure, and comes again.
 */
import { messageOf } from "../core/errors.ts";
import { type BlobDigest, blobDigest } from "../core/ids.ts";
import type { BlobStore, StoredBlob } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import type { Db, Queryable } from "./db.ts";

/** How long nobody needs a blob before it is claimed. */
const UNUSED_S = 24 * 3_600;
/** From the removal of the file to the end of the row (rule 5): far above `MAX_PUT_AGE_MS` of `put-age.ts`. */
const FORGET_S = 7 * 24 * 3_600;
/** Rows looked at in one statement. */
const PAGE = 2_000;
/** Files removed under one transaction's locks. */
const REMOVE_BATCH = 100;
/** Digests of files asked for in one statement. */
const LOOKUP_BATCH = 1_000;
/** Files without a row: up to `few` are what killed processes leave; beyond, at most this share of all files. */
const ORPHAN_LIMITS = {
  few: 20,
  share: 0.1,
  /** That one run takes: the next ones find the rest. */
  taken: 10_000,
};
/** One collector at a time, whatever node it runs on. */
const COLLECTOR_LOCK = 0x6d_61_69_6c;

export interface Collected {
  /** Messages that were in no mailbox any more, nor held. */
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
  readonly log: Log;
  /** Look for files without a row too: asks for the time of every file. */
  readonly orphans: boolean;
  /** Seconds, for tests: how long a blob is unused before its claim, and how long its row stays after its file. */
  readonly unusedS?: number;
  readonly forgetS?: number;
  /** For tests. */
  readonly orphanLimits?: Partial<typeof ORPHAN_LIMITS>;
}

type Ages = CollectorOptions & { readonly unusedS: number; readonly forgetS: number };

/**
 * One whole run. Ends early, between two steps, when `signal` aborts: nothing is half done then.
 * @throws {MairustError} `store_unavailable` and others of database and storage: the next run goes on
 */
export async function collectBlobs(options: CollectorOptions, signal?: AbortSignal): Promise<Collected> {
  const collector = { unusedS: UNUSED_S, forgetS: FORGET_S, ...options };
  const unused = await claimUnused(collector, signal);
  const orphans = collector.orphans ? await claimOrphans(collector, signal) : 0;
  const { removed, removedBytes } = await removeClaimed(collector, signal);
  await forget(collector);
  const leftovers = signal?.aborted === true ? 0 : await collector.blobs.removeLeftovers();
  return {
    messages: unused.messages,
    claimed: unused.claimed + orphans,
    removed,
    removedBytes,
    leftovers,
  };
}

/**
 * Step 1, page by page in digest order: messages that are in no mailbox, not held, not to be sent and no copy of relayed mail go, then blobs
 * without messages are claimed.
 */
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
  const rows = await tx.query<{ digest: string; unused: boolean }>`
    select encode(digest, 'hex') as digest,
           claimed_at is null and touched_at < now() - make_interval(secs => ${unusedS}::float8)
             and not exists (select from messages m join entries e using (message_id) where m.blob_digest = b.digest)
             and not exists (select from messages m join holds h on h.open_message_id = m.message_id where m.blob_digest = b.digest)
             and not exists (select from messages m join relay_copies c using (message_id) where m.blob_digest = b.digest)
             and not exists (select from messages m join outbox o on o.open_message_id = m.message_id where m.blob_digest = b.digest)
             as unused
    from blobs b where digest > decode(${after}, 'hex') order by digest limit ${PAGE}`;
  const last = rows.length < PAGE ? undefined : rows.at(-1)?.digest;
  const unused = hexOf(rows.filter(row => row.unused).map(row => blobDigest(row.digest)));
  if (unused.length === 0) return { messages: 0, claimed: 0, last };
  // Rule 4: locked first; what follows is younger than the locks and sees every message that was committed before them.
  const locked = await tx.query<{ digest: BlobDigest }>`
    select encode(digest, 'hex') as digest from blobs
    where digest = any(${unused}::bytea[]) and claimed_at is null and touched_at < now() - make_interval(secs => ${unusedS}::float8)
    order by digest for update skip locked`;
  const digests = hexOf(locked.map(row => row.digest));
  const messages = await tx.run`
    delete from messages m where m.blob_digest = any(${digests}::bytea[])
      and not exists (select from entries e where e.message_id = m.message_id)
      and not exists (select from holds h where h.open_message_id = m.message_id)
      and not exists (select from relay_copies c where c.message_id = m.message_id)
      and not exists (select from outbox o where o.open_message_id = m.message_id)`;
  const claimed = await tx.run`
    update blobs b set claimed_at = now()
    where b.digest = any(${digests}::bytea[]) and not exists (select from messages m where m.blob_digest = b.digest)`;
  return { messages, claimed, last };
}

/**
 * Step 1 for files that have no row. This is the only step that acts on what the database does not know, so it has a brake: many such
 * files mean another or an older database (a restore, a wrong setting), not killed processes.
 */
async function claimOrphans(options: Ages, signal: AbortSignal | undefined): Promise<number> {
  const { db, blobs, log, unusedS } = options;
  const before = Date.now() - unusedS * 1_000;
  const limits = { ...ORPHAN_LIMITS, ...options.orphanLimits };
  const taken: StoredBlob[] = [];
  let [files, orphans] = [0, 0];
  let batch: StoredBlob[] = [];
  const flush = async () => {
    const known = await knownOf(db, batch);
    const found = batch.filter(file => !known.has(file.digest));
    orphans += found.length;
    taken.push(...found.slice(0, limits.taken - taken.length));
    batch = [];
  };
  for await (const file of blobs.list()) {
    if (signal?.aborted === true) return 0;
    files += 1;
    if (file.modifiedAt.getTime() >= before) continue;
    batch.push(file);
    if (batch.length >= LOOKUP_BATCH) await flush();
  }
  await flush();
  if (orphans > limits.few && orphans > files * limits.share) {
    log.error("blob files without a row left alone: too many", { orphans, files });
    return 0;
  }
  let claimed = 0;
  for (let at = 0; at < taken.length; at += LOOKUP_BATCH)
    claimed += await claimFiles(db, taken.slice(at, at + LOOKUP_BATCH));
  return claimed;
}

/** Those whose file is accounted for: their row is live, or claimed and about to be removed. */
async function knownOf(db: Queryable, files: readonly StoredBlob[]): Promise<ReadonlySet<string>> {
  if (files.length === 0) return new Set();
  const rows = await db.query<{ digest: string }>`
    select encode(digest, 'hex') as digest from blobs
    where digest = any(${hexOf(files.map(file => file.digest))}::bytea[]) and removed_at is null`;
  return new Set(rows.map(row => row.digest));
}

/** A claimed row for each: new, or the one that outlived an earlier removal. A row that is live by now stays as it is. */
function claimFiles(db: Db, files: readonly StoredBlob[]): Promise<number> {
  return db.begin(async tx => {
    if (!(await isCollector(tx))) return 0;
    return tx.run`
      insert into blobs as b (digest, size_bytes, stored_bytes, codec, claimed_at)
      select d, s, s, 'none', now() from unnest(${hexOf(files.map(file => file.digest))}::bytea[], ${files.map(file => file.storedBytes)}::bigint[]) as f (d, s)
      order by d
      on conflict (digest) do update set claimed_at = now(), removed_at = null where b.removed_at is not null`;
  });
}

/** Step 2. */
async function removeClaimed(
  { db, blobs, log }: CollectorOptions,
  signal: AbortSignal | undefined,
): Promise<{ readonly removed: number; readonly removedBytes: number }> {
  let removed = 0;
  let removedBytes = 0;
  let after: string | undefined = "";
  while (after !== undefined && signal?.aborted !== true) {
    const from: string = after;
    const rows: readonly { digest: string }[] = await db.begin(async tx => {
      if (!(await isCollector(tx))) return [];
      const locked = await tx.query<{ digest: string; stored_bytes: number }>`
        select encode(digest, 'hex') as digest, stored_bytes from blobs
        where claimed_at is not null and removed_at is null and digest > decode(${from}, 'hex')
        order by digest limit ${REMOVE_BATCH} for update skip locked`;
      const digests: BlobDigest[] = [];
      for (const row of locked) {
        const digest = blobDigest(row.digest);
        // The lock is gone with the session: this throws then, and without it an idle session would be ended.
        await tx.query`select 1 as here`;
        // One that cannot go stays claimed, and must not hold up the others.
        const isGone = await blobs.delete(digest).then(
          () => true,
          error => {
            log.error("blob not removed", { digest, reason: messageOf(error) });
            return false;
          },
        );
        if (isGone) digests.push(digest);
      }
      // clock_timestamp(): the week begins after the last removal, not with the transaction.
      await tx.query`update blobs set removed_at = clock_timestamp() where digest = any(${hexOf(digests)}::bytea[])`;
      const gone = new Set<string>(digests);
      for (const row of locked) {
        if (!gone.has(row.digest)) continue;
        removed += 1;
        removedBytes += row.stored_bytes;
      }
      return locked;
    });
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
