/** One change of the administration in one transaction, or the same change only tried. */
import type { ChangeOptions, Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError } from "../core/errors.ts";
import type { Db, Tx } from "./db.ts";

/**
 * Run `work` in a transaction. A dry run does everything and rolls back: its checks are the real ones.
 * Sequences move on all the same (an id or a UIDVALIDITY is skipped).
 */
export async function change<T>(db: Db, options: ChangeOptions, work: (tx: Tx) => Promise<T>): Promise<T> {
  if (!options.dryRun) return db.begin(work);
  const rollback = new MairustError("invalid_state", "Cannot keep a dry run: rolled back");
  const results: T[] = [];
  try {
    await db.begin(async tx => {
      results.push(await work(tx));
      throw rollback;
    });
  } catch (error) {
    const [result] = results.slice(-1);
    if (error === rollback && result !== undefined) return result;
    throw error;
  }
  throw rollback;
}

/** @param rows  one more than asked for, when there are more. @param key  of the last item given out */
export function pageOf<R, T>(
  rows: readonly R[],
  page: PageRequest,
  toItem: (row: R) => T,
  key: (item: T) => string,
): Page<T> {
  const items = rows.slice(0, page.limit).map(toItem);
  const last = items.at(-1);
  return { items, next: rows.length > page.limit && last !== undefined ? key(last) : undefined };
}
