/**
 * Deletes what has outlived its retention: timeline events, the egress ledger, redelivery keys, verdicts, the journal of what plugins
 * changed, what hooks in shadow would have done, counts. Small steps, so that no
 * statement holds up mail.
 */
import type { Db } from "./db.ts";

/** Rows per statement. */
const ROWS_PER_STEP = 5_000;
/** Statements per run: the rest waits for the next run. */
const MAX_STEPS = 200;

export interface RetentionLimits {
  readonly eventsDays: number;
  readonly redeliveryWindowS: number;
}

/** @returns how many rows went */
export async function deleteExpired(
  db: Db,
  limits: RetentionLimits,
): Promise<{
  readonly events: number;
  readonly ledger: number;
  readonly deliveries: number;
  readonly verdicts: number;
  readonly journal: number;
  readonly diffs: number;
  readonly tallies: number;
}> {
  const events = await inSteps(
    () => db.run`
      delete from events where ctid = any(array(
        select ctid from events where at < now() - make_interval(days => ${limits.eventsDays}::int) limit ${ROWS_PER_STEP}
      ))`,
  );
  const ledger = await inSteps(
    () => db.run`
      delete from ledger where ctid = any(array(
        select ctid from ledger where at < now() - make_interval(days => ${limits.eventsDays}::int) limit ${ROWS_PER_STEP}
      ))`,
  );
  const deliveries = await inSteps(
    () => db.run`
      delete from deliveries where ctid = any(array(
        select ctid from deliveries
        where created_at < now() - make_interval(secs => ${limits.redeliveryWindowS}::float8) limit ${ROWS_PER_STEP}
      ))`,
  );
  const diffs = await inSteps(
    () => db.run`
      delete from hook_diffs where ctid = any(array(
        select ctid from hook_diffs where at < now() - make_interval(days => ${limits.eventsDays}::int) limit ${ROWS_PER_STEP}
      ))`,
  );
  // By minute, and looked at for a day: two days are enough. What plugins cost is kept as long as what they did.
  const tallies = await inSteps(
    () => db.run`
      delete from tallies where ctid = any(array(
        select ctid from tallies
        where slot < now() - make_interval(days => case kind when 'usage' then ${limits.eventsDays}::int else 2 end)
        limit ${ROWS_PER_STEP}
      ))`,
  );
  const verdicts = await inSteps(
    () => db.run`
      delete from verdicts where ctid = any(array(
        select ctid from verdicts where expires_at < now() limit ${ROWS_PER_STEP}
      ))`,
  );
  // What can be undone is what the timeline still tells of.
  const journal = await inSteps(
    () => db.run`
      delete from plugin_changes where ctid = any(array(
        select ctid from plugin_changes where at < now() - make_interval(days => ${limits.eventsDays}::int) limit ${ROWS_PER_STEP}
      ))`,
  );
  return { events, ledger, deliveries, verdicts, journal, diffs, tallies };
}

async function inSteps(step: () => Promise<number>): Promise<number> {
  let total = 0;
  for (let i = 0; i < MAX_STEPS; i++) {
    const rows = await step();
    total += rows;
    if (rows < ROWS_PER_STEP) break;
  }
  return total;
}
