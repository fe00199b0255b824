/**
 * A delivery that meets a blob which is being collected (step 7): the claim is taken back, and the delivery is tried once more.
 * Nothing happens here unless the database refused it. See `blob-gc.ts` for the states and the proof.
 */
import { MairustError } from "../core/errors.ts";
import type { BlobDigest } from "../core/ids.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import { type Db, sqlstateOf } from "./db.ts";
import { BLOB_CLAIMED } from "./deliver-rows.ts";

/** How long to wait for a row: the collector holds it while it unlinks one batch. */
const LOCK_MS = 10_000;

/** What is stored of a blob that is there, right, and durable under its name: `BlobStore.confirm`. */
export type ConfirmBlob = BlobStore["confirm"];

/**
 * Run `attempt`; when the collector has claimed one of the blobs, give them back and run it once more.
 * @param digests  all blobs that the attempt refers to
 * @param splits   the caller tries each blob alone when several together failed
 * @throws {MairustError} what the attempt threw; when the file of one is gone `store_unavailable` (putting it again helps), or `internal`
 *         where several were tried by a caller that splits
 */
export async function withRevival<T>(
  db: Db,
  confirm: ConfirmBlob,
  digests: readonly BlobDigest[],
  attempt: () => Promise<T>,
  splits: boolean,
): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (sqlstateOf(error) !== BLOB_CLAIMED) throw error;
    for (const digest of [...new Set(digests)].sort()) {
      if (!(await revive(db, confirm, digest))) throw collected(!splits || digests.length === 1, error);
    }
    return attempt();
  }
}

/**
 * Make a claimed or removed row live, after its file was proven to be there and durable, all under the row's lock.
 * @returns false: its file is gone
 */
async function revive(db: Db, confirm: ConfirmBlob, digest: BlobDigest): Promise<boolean> {
  return db.begin(
    async tx => {
      const [row] = await tx.query`
        select 1 as one from blobs where digest = decode(${digest}, 'hex') and claimed_at is not null for update`;
      if (row === undefined) return true;
      const found = await confirm(digest);
      if (found === undefined) return false;
      // The sizes too: a row that was made for a file without one knows only what the file takes.
      await tx.query`
        update blobs set claimed_at = null, removed_at = null, touched_at = now(),
                         size_bytes = ${found.sizeBytes}, stored_bytes = ${found.storedBytes}, codec = ${found.codec}
        where digest = decode(${digest}, 'hex')`;
      return true;
    },
    { lockTimeoutMs: LOCK_MS },
  );
}

function collected(isFinal: boolean, cause: unknown): MairustError {
  const text = "Cannot store yet: the same bytes were being collected";
  return new MairustError(isFinal ? "store_unavailable" : "internal", text, {
    retry: "later",
    cause,
    publicText: "please try again",
  });
}
