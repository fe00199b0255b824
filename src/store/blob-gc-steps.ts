/**
 * The collector's steps, one transaction each; `blob-gc.ts` says why they are as they are and in which order.
 * Rows that somebody holds are passed over: they come again in the next run.
 */
import { messageOf } from "../core/errors.ts";
import { type BlobDigest, blobDigest } from "../core/ids.ts";
import type { BlobUpkeep } from "../core/ports/blob-upkeep.ts";
import type { Log } from "../core/ports/log.ts";
import type { Db, Tx } from "./db.ts";

/** Rows, and files, of one transaction: so short that a delivery which meets it waits a few milliseconds. */
export const GC_BATCH = 50;
/** What all nodes lock while they collect: any number, the same in every version. */
const LOCK_KEY = 7_316_255;

/**
 * Named points, each inside its transaction. `marking`: rows are locked and checked, not marked. `removing`: marked rows are locked, no
 * file was touched. `removed`: files are unlinked, nothing is committed.
 */
export type GcStep = "marking" | "removing" | "removed";

export interface StepParts {
  readonly db: Db;
  readonly upkeep: BlobUpkeep;
  readonly log: Log;
  readonly onStep?: (step: GcStep) => Promise<void> | void;
}

/** Run `work` in a transaction that holds the collectors' lock. @returns undefined: another node has it */
export function alone<T>(db: Db, work: (tx: Tx) => Promise<T>): Promise<T | undefined> {
  return db.begin(async tx => {
    const [row] = await tx.query<{
      got: boolean;
    }>`select pg_try_advisory_xact_lock(${LOCK_KEY}::bigint) as got`;
    return row?.got === true ? work(tx) : undefined;
  });
}

/** Mark blobs that lost a message long ago and have none now. @returns how many were looked at */
export function markLoose({ db, onStep }: StepParts, minAgeS: number): Promise<number | undefined> {
  return alone(db, async tx => {
    const rows = await tx.query<{ digest: string }>`
      select encode(digest, 'hex') as digest from blobs
      where loose_since < now() - make_interval(secs => ${minAgeS}::float8)
        and touched_at < now() - make_interval(secs => ${minAgeS}::float8) and collecting_since is null
      order by loose_since limit ${GC_BATCH} for update skip locked`;
    if (rows.length === 0) return 0;
    const digests = rows.map(row => row.digest);
    await onStep?.("marking");
    // A statement of its own: its snapshot is younger than the locks, so it sees every message that was committed before them.
    await tx.query`
      update blobs b set
        collecting_since = case when used.it then null else now() end,
        loose_since = case when used.it then null else b.loose_since end
      from (
        select d.digest, exists (select 1 from messages m where m.blob_digest = d.digest) as it
        from (select decode(x, 'hex') as digest from unnest(${digests}::text[]) as x) d
      ) used
      where b.digest = used.digest`;
    return rows.length;
  });
}

export interface Removed {
  readonly blobs: number;
  readonly bytes: number;
}

/** Unlink the files of marked rows. */
export function removeMarked({ db, upkeep, log, onStep }: StepParts): Promise<Removed | undefined> {
  return alone(db, async tx => {
    const rows = await tx.query<{ digest: string; stored_bytes: number }>`
      select encode(digest, 'hex') as digest, stored_bytes from blobs
      where collecting_since is not null and removed_at is null
      order by collecting_since limit ${GC_BATCH} for update skip locked`;
    if (rows.length === 0) return { blobs: 0, bytes: 0 };
    const used = await keepUsed(
      tx,
      rows.map(row => row.digest),
      log,
    );
    await onStep?.("removing");
    const gone = new Set<string>();
    for (const { digest } of rows) {
      if (!used.has(digest) && (await unlinked(upkeep, blobDigest(digest), log))) gone.add(digest);
    }
    await onStep?.("removed");
    // Those that could not be removed go behind the others, so that they do not hold them up.
    await tx.query`
      update blobs b set
        removed_at = case when encode(b.digest, 'hex') = any(${[...gone]}::text[]) then now() end,
        collecting_since = now()
      where b.digest = any(array(select decode(x, 'hex') from unnest(${rows.map(row => row.digest)}::text[]) as x))
        and b.collecting_since is not null`;
    const bytes = rows.filter(row => gone.has(row.digest)).reduce((sum, row) => sum + row.stored_bytes, 0);
    return { blobs: gone.size, bytes };
  });
}

/**
 * A marked blob that a message has: something inserted the message without the blob's row, against rule 2. Its file stays, and
 * the row is live again. @returns those
 */
async function keepUsed(tx: Tx, digests: readonly string[], log: Log): Promise<ReadonlySet<string>> {
  const rows = await tx.query<{ digest: string }>`
    update blobs b set collecting_since = null
    where b.digest = any(array(select decode(x, 'hex') from unnest(${digests}::text[]) as x))
      and exists (select 1 from messages m where m.blob_digest = b.digest)
    returning encode(b.digest, 'hex') as digest`;
  for (const { digest } of rows) log.error("blob in use was marked for removal", { digest });
  return new Set(rows.map(row => row.digest));
}

async function unlinked(upkeep: BlobUpkeep, digest: BlobDigest, log: Log): Promise<boolean> {
  try {
    await upkeep.remove(digest);
    return true;
  } catch (error) {
    log.error("blob not removed", { digest, reason: messageOf(error) });
    return false;
  }
}

/** Forget blobs whose file went long ago. @returns how many */
export function purgeRemoved({ db }: StepParts, tombstoneS: number): Promise<number | undefined> {
  return alone(
    db,
    tx => tx.run`
      delete from blobs where digest = any(array(
        select digest from blobs
        where collecting_since is not null and removed_at < now() - make_interval(secs => ${tombstoneS}::float8)
        limit ${GC_BATCH} for update skip locked
      ))`,
  );
}
