/**
 * Blob files without a row: what a process left that was killed between putting a blob and committing it. One part of the folder at
 * a time, in turn over all runs and nodes; what is found gets a marked row and is removed like any other (`blob-gc.ts`).
 *
 * Two brakes, because this is the only step that acts on what the database does not know: the folder must carry the database's id,
 * and a part with many unknown files is left alone (a database that was set back to an older state).
 */
import type { BlobDigest } from "../core/ids.ts";
import type { BlobUpkeep, StoredObject } from "../core/ports/blob-upkeep.ts";
import { alone, type StepParts } from "./blob-gc-steps.ts";
import { type Db, jsonText, type Queryable } from "./db.ts";

/** Names compared with the database at a time. */
const CHUNK = 500;
/** Unknown files of one part: up to so many are what killed processes leave; beyond, at most this share of the part. */
const FEW = 20;
const FEW_SHARE = 0.1;
/** Files looked at to see whether a folder without an owner belongs to the database. */
const SAMPLE = 50;

/** @returns why nothing in this folder may be collected; undefined: it is the database's own */
export async function folderProblem(db: Db, upkeep: BlobUpkeep): Promise<string | undefined> {
  const [row] = await db.query<{ folder_id: string }>`select folder_id from blob_gc`;
  const id = row?.folder_id ?? "";
  const owner = (await upkeep.owner()) ?? ((await isOurs(db, upkeep)) ? await upkeep.claim(id) : undefined);
  if (owner === id) return undefined;
  const whose =
    owner === undefined ? "most of its blobs are unknown to this database" : `its file "owner" says ${owner}`;
  return `the blob folder does not belong to this database: ${whose}; the database's id is ${id}`;
}

/** Whether the database knows at least half of what lies there; nothing there is ours too. */
async function isOurs(db: Db, upkeep: BlobUpkeep): Promise<boolean> {
  const sample: BlobDigest[] = [];
  for (let part = 0; part < upkeep.parts && sample.length < SAMPLE; part += 1) {
    for await (const name of upkeep.names(part)) {
      const digest = upkeep.digestOf(part, name);
      if (digest !== undefined) sample.push(digest);
      if (sample.length >= SAMPLE) break;
    }
  }
  return (await knownOf(db, sample)).size * 2 >= sample.length;
}

/**
 * Look through the part whose turn it is.
 * @returns how many files were marked; undefined: another node collects
 */
export async function walkPart(
  parts: StepParts,
  minAgeS: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const { db, upkeep, log } = parts;
  const [row] = await db.query<{ next_part: number }>`select next_part from blob_gc`;
  const part = (row?.next_part ?? 0) % upkeep.parts;
  const { unknown, files } = await unknownOf(db, upkeep, part, minAgeS * 1000, signal);
  if (signal.aborted) return 0;
  const tooMany = unknown.length > FEW && unknown.length > files * FEW_SHARE;
  if (tooMany) {
    log.error("blob files without a row left alone: too many", { part, unknown: unknown.length, files });
  }
  return alone(db, async tx => {
    await tx.query`
      update blob_gc set next_part = ${(part + 1) % upkeep.parts}, walked_at = now() where next_part = ${part}`;
    return tooMany ? 0 : markFiles(tx, unknown);
  });
}

interface Found {
  /** At most a tenth of the part, or so many that the rest does not matter. */
  readonly unknown: readonly StoredObject[];
  readonly files: number;
}

/** Old files of a part that no row stands for. */
async function unknownOf(
  db: Queryable,
  upkeep: BlobUpkeep,
  part: number,
  minAgeMs: number,
  signal: AbortSignal,
): Promise<Found> {
  const unknown: StoredObject[] = [];
  let files = 0;
  let chunk = new Map<BlobDigest, string>();
  const flush = async () => {
    const known = await knownOf(db, [...chunk.keys()]);
    for (const [digest, name] of chunk) {
      if (known.has(digest)) continue;
      const object = await upkeep.look(part, name);
      if (object !== undefined && object.ageMs > minAgeMs) unknown.push(object);
    }
    chunk = new Map();
  };
  for await (const name of upkeep.names(part)) {
    if (signal.aborted) break;
    const digest = upkeep.digestOf(part, name);
    if (digest === undefined) continue;
    files += 1;
    chunk.set(digest, name);
    if (chunk.size >= CHUNK) await flush();
  }
  await flush();
  return { unknown, files };
}

/** Those of `digests` whose file is accounted for by a row: live, or marked and about to be removed. */
export async function knownOf(
  db: Queryable,
  digests: readonly BlobDigest[],
): Promise<ReadonlySet<BlobDigest>> {
  if (digests.length === 0) return new Set();
  const rows = await db.query<{ digest: BlobDigest }>`
    select encode(digest, 'hex') as digest from blobs
    where digest = any(array(select decode(x, 'hex') from unnest(${digests}::text[]) as x)) and removed_at is null`;
  return new Set(rows.map(row => row.digest));
}

/**
 * A marked row for each: new, or the one that outlived an earlier removal. A row that is live by now is left alone. The sizes stand
 * for nothing but what the file takes; reviving sets them right. In digest order, as deliveries lock rows.
 */
async function markFiles(db: Queryable, found: readonly StoredObject[]): Promise<number> {
  if (found.length === 0) return 0;
  const rows = found.map(({ digest, storedBytes }) => ({ d: digest, t: storedBytes }));
  return db.run`
    insert into blobs as b (digest, size_bytes, stored_bytes, codec, collecting_since)
    select decode(d, 'hex'), 0, t, 'none', now() from json_to_recordset(${jsonText(rows)}::text::json) as f(d text, t bigint)
    order by d
    on conflict (digest) do update set collecting_since = now(), removed_at = null, stored_bytes = excluded.stored_bytes
      where b.removed_at is not null`;
}
