/**
 * A delivery that meets a blob which is being collected (step 7): the blob is revived, and the delivery comes once more. Nothing happens
 * here unless the database refused it. See `blob-gc.ts` for the states and the proof.
 * Failures: as `MessageStore.deliver`; `store_unavailable` when the file went in the very moment between put and commit.
 */
import { MairustError } from "../core/errors.ts";
import type { BlobUpkeep } from "../core/ports/blob-upkeep.ts";
import type { BlobRecord } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageStore } from "../core/ports/store.ts";
import { type Db, sqlstateOf } from "./db.ts";

/** SQLSTATE of the trigger in `migrations/0002_blob_gc.sql`. */
const IS_COLLECTED = "M0B01";
/** How long a revival may wait for the row: a collector holds it while it unlinks one batch. */
const LOCK_MS = 10_000;

export interface RevivalParts {
  readonly db: Db;
  readonly upkeep: () => BlobUpkeep;
  readonly log: Log;
}

/** @returns the same store, whose `deliver` revives */
export function revivingStore(store: MessageStore, parts: RevivalParts): MessageStore {
  return {
    ...store,
    async deliver(delivery) {
      try {
        return await store.deliver(delivery);
      } catch (error) {
        if (sqlstateOf(error) !== IS_COLLECTED) throw error;
        await revive(parts, delivery.blob);
        return store.deliver(delivery);
      }
    },
  };
}

/**
 * Make a marked or removed row live, after its file was proven to be there and durable, all under the row's lock.
 * @throws {MairustError} `store_unavailable`: the file is gone; putting it again helps
 */
export async function revive({ db, upkeep, log }: RevivalParts, blob: BlobRecord): Promise<void> {
  const { digest, sizeBytes } = blob;
  const isThere = await db.begin(
    async tx => {
      // Also when nobody marks it now: the delivery's own look at the file may be older than the removal.
      await tx.query`select 1 as one from blobs where digest = decode(${digest}, 'hex') for update`;
      const found = await upkeep().secure(digest, sizeBytes);
      if (found === undefined) return false;
      await tx.query`
        update blobs set collecting_since = null, removed_at = null, loose_since = now(), touched_at = now(),
                         size_bytes = ${sizeBytes}, stored_bytes = ${found.storedBytes}, codec = ${found.codec}
        where digest = decode(${digest}, 'hex') and collecting_since is not null`;
      return true;
    },
    { lockTimeoutMs: LOCK_MS },
  );
  if (isThere) {
    log.info("blob revived", { digest });
    return;
  }
  throw new MairustError(
    "store_unavailable",
    `Cannot store blob "${digest}": it was collected at this moment`,
    {
      publicText: "mail storage is busy, try again",
    },
  );
}
