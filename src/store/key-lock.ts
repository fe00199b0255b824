/**
 * Who writes sealed records, and who replaces the key that they are sealed with, wait for each other: a record under a key that is
 * about to go would be lost with it.
 */
import type { Queryable } from "./db.ts";

const LOCK = "mairust sealed records";

/** Until the transaction ends the current key stays current. To be awaited before the key is asked for. */
export async function holdKeys(tx: Queryable): Promise<void> {
  await tx.query`select pg_advisory_xact_lock_shared(hashtextextended(${LOCK}, 0))`;
}

/** Until the transaction ends nobody else writes a sealed record. */
export async function replaceKeys(tx: Queryable): Promise<void> {
  await tx.query`select pg_advisory_xact_lock(hashtextextended(${LOCK}, 0))`;
}
