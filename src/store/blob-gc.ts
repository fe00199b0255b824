/**
 * The blob collector: removes the files of blobs that no message has any more, a day after the last one lost them, and files that
 * never got a row (beside the message path; what step 7 puts, this takes away).
 *
 * The race: a delivery puts the file first, or finds it there and uses it, and commits the row that refers to it afterwards. A collector
 * may remove the file in between. Nothing is added to the delivery but what stands in the database. Rows go
 *
 *     live ──mark──► marked ──remove──► removed ──purge, a week later──► no row
 *       ▲──────────────┴─────revive────────┘           (file without row ──mark──► marked)
 *
 * and five rules hold:
 *   1. A file is unlinked only inside a transaction that holds FOR UPDATE on its row, which an earlier, committed transaction marked.
 *   2. A delivery inserts or updates the blob's row in the statement that inserts the message, and so holds the row until it
 *      commits. On a marked or removed row a trigger refuses it (`migrations/0002_blob_gc.sql`), and nothing of it is stored.
 *   3. A row is revived (`blob-revive.ts`) only under FOR UPDATE, after the file was hashed and is durable under its name.
 *   4. A row is marked only under FOR UPDATE, and only when a statement that began under that lock sees no message that has it.
 *   5. A removed row stays for `TOMBSTONE_S`, and a delivery whose put began more than six hours ago is refused (`put-age.ts`).
 *
 * Claim: a committed message has its file. Proof: let a delivery find or put the file at s, reach its blob row at i, commit at c;
 * s < i < c. While the message exists its blob is never marked after c (4), so no later unlink can touch it (1). An unlink at u < c
 * had its row marked and committed before u, and held its lock until its own end.
 *   · u > i: between i and c the delivery holds the row (2), so the unlinker got it before i and let it go by i: no u > i.
 *   · s < u < i: at i the row is (a) marked or removed, then the delivery is refused (2); (b) revived since, then the file was proven
 *     after u (3), and this argument holds with that moment for s; (c) purged, then a week lies between u and i, and s < u: the delivery
 *     is refused (5). Unlinked and the row not yet "removed" (killed, rolled back): the row is still marked, case (a).
 *   · u < s: the delivery found or put the file after the unlink, and no other unlink follows, as above.
 * A delivery that inserts while a mark is being made waits for it: one row per digest. Rule 5 needs clocks that run equally fast, within a
 * factor of 28, nothing else; the age of a file only decides when it is worth a look.
 *
 * Killed anywhere: before a commit nothing but an unlink has happened, to a row that stays marked and is removed again next time. After
 * a loss of power an unlinked file may be back: its row is removed or gone, and the walk finds it.
 * Two nodes: each step takes one advisory lock for its transaction and ends the run when another node has it.
 * A delivery that is refused between mark and removal and finds no file ends with a transient failure, and comes again.
 *
 * Failures: `store_unavailable`; the run ends, the next one goes on.
 */
import { messageOf } from "../core/errors.ts";
import type { BlobUpkeep } from "../core/ports/blob-upkeep.ts";
import type { Log } from "../core/ports/log.ts";
import { GC_BATCH, type GcStep, markLoose, purgeRemoved, removeMarked } from "./blob-gc-steps.ts";
import { folderProblem, walkPart } from "./blob-gc-walk.ts";
import type { Db } from "./db.ts";

/** Unreferenced for this long before anything happens; also the age of files without a row. */
const MIN_AGE_S = 86_400;
/** How long a row outlives its file (rule 5). */
export const TOMBSTONE_S = 7 * 86_400;
/** Batches of one kind per run: the rest waits for the next. */
const MAX_BATCHES = 10_000;

export interface CollectorOptions {
  readonly db: Db;
  readonly upkeep: BlobUpkeep;
  readonly log: Log;
  /** Parts of the blob folder that one run looks through for files without a row. */
  readonly partsPerRun: number;
  /** Default {@link MIN_AGE_S}, {@link TOMBSTONE_S}. */
  readonly minAgeS?: number;
  readonly tombstoneS?: number;
  /** Told of each step inside its transaction, and waited for: tests stop there. */
  readonly onStep?: (step: GcStep) => Promise<void> | void;
}

export interface Collected {
  /** Files removed, and what they took on the disk. */
  blobs: number;
  bytes: number;
  /** Of them: files that had no row. */
  withoutRow: number;
  /** Temporary files. */
  leftovers: number;
  /** `elsewhere`: another node collects. `foreign`: the blob folder belongs to another database. */
  end: "done" | "stopped" | "elsewhere" | "foreign";
}

/**
 * One run.
 * @param signal  ends it after the step that runs
 */
export async function collectBlobs(options: CollectorOptions, signal: AbortSignal): Promise<Collected> {
  const total: Collected = { blobs: 0, bytes: 0, withoutRow: 0, leftovers: 0, end: "done" };
  const problem = await folderProblem(options.db, options.upkeep);
  if (problem !== undefined) {
    options.log.error("blobs not collected", { reason: problem });
    return { ...total, end: "foreign" };
  }
  total.end = await collectRows(options, total, signal);
  if (total.end === "done") total.end = await collectFiles(options, total, signal);
  if (total.end === "done") {
    total.leftovers = await options.upkeep.removeLeftovers().catch(error => {
      options.log.error("temporary blob files not removed", { reason: messageOf(error) });
      return 0;
    });
  }
  return total;
}

async function collectRows(
  options: CollectorOptions,
  total: Collected,
  signal: AbortSignal,
): Promise<Collected["end"]> {
  const { minAgeS = MIN_AGE_S, tombstoneS = TOMBSTONE_S } = options;
  const purged = await batches(signal, () => purgeRemoved(options, tombstoneS));
  if (purged !== "done") return purged;
  // What an earlier run marked and did not come to remove.
  const left = await removeAll(options, total, signal);
  if (left !== "done") return left;
  return batches(signal, async () => {
    const looked = await markLoose(options, minAgeS);
    if (looked === undefined) return undefined;
    await removeAll(options, total, signal);
    return looked;
  });
}

async function collectFiles(
  options: CollectorOptions,
  total: Collected,
  signal: AbortSignal,
): Promise<Collected["end"]> {
  for (let i = 0; i < Math.min(options.partsPerRun, options.upkeep.parts); i += 1) {
    if (signal.aborted) return "stopped";
    const marked = await walkPart(options, options.minAgeS ?? MIN_AGE_S, signal);
    if (marked === undefined) return "elsewhere";
    if (marked === 0) continue;
    const before = total.blobs;
    const end = await removeAll(options, total, signal);
    total.withoutRow += total.blobs - before;
    if (end !== "done") return end;
  }
  return signal.aborted ? "stopped" : "done";
}

function removeAll(
  options: CollectorOptions,
  total: Collected,
  signal: AbortSignal,
): Promise<Collected["end"]> {
  return batches(signal, async () => {
    const removed = await removeMarked(options);
    if (removed === undefined) return undefined;
    total.blobs += removed.blobs;
    total.bytes += removed.bytes;
    return removed.blobs;
  });
}

/** Run a step until it finds less than a batch. @param step  how many it found; undefined: another node collects */
async function batches(
  signal: AbortSignal,
  step: () => Promise<number | undefined>,
): Promise<Collected["end"]> {
  for (let i = 0; i < MAX_BATCHES; i += 1) {
    if (signal.aborted) return "stopped";
    const found = await step();
    if (found === undefined) return "elsewhere";
    if (found < GC_BATCH) return "done";
  }
  return "done";
}
