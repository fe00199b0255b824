/**
 * Deletes what has outlived its retention: timeline events, changes of flags, the egress ledger, redelivery keys, verdicts, the
 * journal of what plugins changed, what hooks in shadow would have done, counts, expunges too old for a client to ask for. Small
 * steps, so that no statement holds up mail.
 */
import { type Db, sql } from "./db.ts";
import { forgetExpunges } from "./forget-expunges.ts";

type Fragment = ReturnType<typeof sql>;

/** Rows per statement. */
const ROWS_PER_STEP = 5_000;
/** Statements per run: the rest waits for the next run. */
const MAX_STEPS = 200;
/** Each mailbox needs one at least. */
const FORGET_STEPS = 10_000;

export interface RetentionLimits {
  readonly eventsDays: number;
  readonly redeliveryWindowS: number;
}

/** @param signal  stops after the step under way  @returns how many rows went */
export async function deleteExpired(
  db: Db,
  limits: RetentionLimits,
  signal?: AbortSignal,
): Promise<{
  readonly events: number;
  readonly ledger: number;
  readonly deliveries: number;
  readonly verdicts: number;
  readonly journal: number;
  readonly flagChanges: number;
  readonly diffs: number;
  readonly tallies: number;
  readonly expunged: number;
}> {
  const { eventsDays, redeliveryWindowS } = limits;
  const old = sql`at < now() - make_interval(days => ${eventsDays}::int)`;
  return {
    events: await inSteps(db, sql`events`, old, signal),
    ledger: await inSteps(db, sql`ledger`, old, signal),
    deliveries: await inSteps(
      db,
      sql`deliveries`,
      sql`created_at < now() - make_interval(secs => ${redeliveryWindowS}::float8)`,
      signal,
    ),
    verdicts: await inSteps(db, sql`verdicts`, sql`expires_at < now()`, signal),
    // What can be undone is what the timeline still tells of.
    journal: await inSteps(db, sql`plugin_changes`, old, signal),
    flagChanges: await inSteps(db, sql`flag_changes`, old, signal),
    diffs: await inSteps(db, sql`hook_diffs`, old, signal),
    // By minute, and looked at for a day: two days are enough. What plugins cost is kept as long as what they did.
    tallies: await inSteps(
      db,
      sql`tallies`,
      sql`slot < now() - make_interval(days => case kind when 'usage' then ${eventsDays}::int else 2 end)`,
      signal,
    ),
    expunged: await forgetExpunges(db, { rowsPerStep: ROWS_PER_STEP, steps: FORGET_STEPS }, signal),
  };
}

async function inSteps(db: Db, table: Fragment, isOld: Fragment, signal?: AbortSignal): Promise<number> {
  let total = 0;
  for (let i = 0; i < MAX_STEPS && signal?.aborted !== true; i++) {
    const rows = await db.run`
      delete from ${table} where ctid = any(array(select ctid from ${table} where ${isOld} limit ${ROWS_PER_STEP}))`;
    total += rows;
    if (rows < ROWS_PER_STEP) break;
  }
  return total;
}
