/** Whether a PostgreSQL server keeps what it has committed, and what time it has: for `doctor`. Step: none, mail does not wait for it. */
import type { Queryable } from "./db.ts";

export interface Durability {
  readonly fsync: string;
  readonly fullPageWrites: string;
  readonly synchronousCommit: string;
  /** Milliseconds since 1970 by its clock. */
  readonly nowMs: number;
}

export async function readDurability(db: Queryable): Promise<Durability> {
  const [row] = await db.query<{ fsync: string; pages: string; commit: string; now: number }>`
    select current_setting('fsync') as fsync,
           current_setting('full_page_writes') as pages,
           current_setting('synchronous_commit') as commit,
           (extract(epoch from clock_timestamp()) * 1000)::float8 as now`;
  return {
    fsync: row?.fsync ?? "",
    fullPageWrites: row?.pages ?? "",
    synchronousCommit: row?.commit ?? "",
    nowMs: row?.now ?? 0,
  };
}
