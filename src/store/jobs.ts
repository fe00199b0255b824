/**
 * The job queue in PostgreSQL: leases, retries, dead jobs. All times are the database's, so that clocks of nodes do not matter.
 *
 * States: queued ──claim──► running ──► done | failed (dead) | canceled; running ──failure, give-back, lost lease──► queued, or canceled
 * when somebody asked for its end meanwhile.
 * A standing job (`repeat_ms`) goes back to queued after each run. Only the owner of the lease changes a running job; whoever finds
 * its lease ended may take it. At least once: a node that lost its lease may still be at work.
 * Sources: PostgreSQL manual, SELECT (FOR UPDATE SKIP LOCKED).
 */
import type { JobData, JobEnd, JobQueue, JobState, LeasedJob, NewJob, Renewal } from "../core/ports/jobs.ts";
import { type Db, jsonText, pgText, type Queryable, sql } from "./db.ts";

const DEFAULT_MAX_ATTEMPTS = 10;
/** Characters kept of an error. */
const MAX_ERROR_CHARS = 2000;
/** Rows per statement when finished jobs are deleted. */
const DELETE_ROWS = 5000;

export interface JobQueueOptions {
  readonly db: Db;
  /** Right after a job was committed: wakes the worker of this node. */
  readonly onEnqueued?: (kind: string) => void;
}

export function createJobQueue({ db, onEnqueued }: JobQueueOptions): JobQueue {
  return {
    async enqueue(job) {
      const id = await enqueueJob(db, job);
      onEnqueued?.(job.kind);
      return id;
    },
    claim: (kinds, owner, leaseMs, limit) => claim(db, kinds, owner, leaseMs, limit),
    renew: (owner, progress, leaseMs) => renew(db, owner, progress, leaseMs),
    async saveCheckpoint(owner, id, checkpoint) {
      const rows = await db.run`
        update jobs set checkpoint = ${jsonText(checkpoint)}::text::jsonb
        where id = ${id} and state = 'running' and lease_owner = ${owner}`;
      return rows === 1;
    },
    finish: (owner, id, end) => finish(db, owner, id, end),
    async makeDue(kind) {
      await db.run`
        update jobs set run_at = now() where kind = ${kind} and repeat_ms is not null and run_at > now()`;
    },
    deleteFinished: (days, doneDays = days) => db.run`
      delete from jobs where ctid = any(array(
        select ctid from jobs
        where finished_at < now() - make_interval(days => ${Math.min(days, doneDays)}::int) and (
          finished_at < now() - make_interval(days => ${days}::int) or (state = 'done' and message_id is not null)
        ) limit ${DELETE_ROWS}
      ))`,
  };
}

/** Put a job into the caller's transaction; wake the worker after its commit. @returns its id */
export async function enqueueJob(q: Queryable, job: NewJob): Promise<number> {
  const [row] = await q.query<{ id: number }>`
    insert into jobs (kind, payload, max_attempts, message_id)
    values (${job.kind}, ${jsonText(job.payload)}::text::jsonb, ${job.maxAttempts ?? DEFAULT_MAX_ATTEMPTS}::int,
            ${job.messageId ?? null}::uuid)
    returning id`;
  return row?.id ?? 0;
}

interface LeasedRow {
  readonly id: number;
  readonly kind: string;
  readonly payload: JobData;
  readonly message_id: string | null;
  readonly checkpoint: JobData;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly repeat_ms: number | null;
}

async function claim(
  db: Db,
  kinds: readonly string[],
  owner: string,
  leaseMs: number,
  limit: number,
): Promise<readonly LeasedJob[]> {
  await takeBackLost(db, kinds);
  const rows = await db.query<LeasedRow>`
    with next as (
      select id from jobs where state = 'queued' and kind = any(${[...kinds]}::text[]) and run_at <= now()
      order by run_at, id limit ${limit} for update skip locked
    )
    update jobs j set state = 'running', attempts = j.attempts + 1, lease_owner = ${owner}, progress = 0,
      lease_until = now() + ${leaseMs}::float8 * interval '1 millisecond',
      -- of a standing job: when its next run is due, unless somebody wants it sooner meanwhile
      run_at = case when j.repeat_ms is null then j.run_at else now() + j.repeat_ms * interval '1 millisecond' end
    from next where j.id = next.id
    returning j.id, j.kind, j.payload, j.message_id, j.checkpoint, j.attempts, j.max_attempts, j.repeat_ms`;
  return rows.map(row => ({
    id: row.id,
    kind: row.kind,
    payload: row.payload,
    messageId: row.message_id ?? undefined,
    checkpoint: row.checkpoint,
    attempts: row.attempts,
    maxAttempts: row.max_attempts,
    repeatMs: row.repeat_ms ?? undefined,
  }));
}

/** Jobs whose node died: due again, or dead when that was their last attempt. */
async function takeBackLost(db: Db, kinds: readonly string[]): Promise<void> {
  await db.run`
    with lost as (
      select id from jobs where state = 'running' and lease_until < now() and kind = any(${[...kinds]}::text[])
      for update skip locked
    ), outcome as (
      select j.id, case when j.cancel_requested and j.repeat_ms is null then 'canceled'
                        when j.attempts >= j.max_attempts and j.repeat_ms is null then 'failed'
                        else 'queued' end as state
      from jobs j join lost using (id)
    )
    update jobs j set state = o.state, lease_owner = null, lease_until = null, run_at = now(), cancel_requested = false,
      error = 'its node ended or hung while it ran',
      finished_at = case when o.state = 'queued' then null else now() end
    from outcome o where j.id = o.id`;
}

function renew(
  db: Db,
  owner: string,
  progress: ReadonlyMap<number, number>,
  leaseMs: number,
): Promise<readonly Renewal[]> {
  const rows = [...progress].map(([i, p]) => ({ i, p: Math.trunc(Math.min(100, Math.max(0, p))) }));
  return db.query<{ id: number; cancel: boolean }>`
    update jobs j set lease_until = now() + ${leaseMs}::float8 * interval '1 millisecond', progress = w.p
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as w(i bigint, p smallint)
    where j.id = w.i and j.state = 'running' and j.lease_owner = ${owner} and j.lease_until > now()
    returning j.id, j.cancel_requested as cancel`;
}

async function finish(db: Db, owner: string, id: number, end: JobEnd): Promise<JobState | undefined> {
  const [row] = await db.query<{ state: JobState }>`
    update jobs set lease_owner = null, lease_until = null, ${changes(end)}
    where id = ${id} and state = 'running' and lease_owner = ${owner} returning state`;
  return row?.state;
}

/** Somebody asked for its end while it ran: it does not begin again. */
const STOPPED = sql`(cancel_requested and repeat_ms is null)`;

function changes(end: JobEnd) {
  switch (end.kind) {
    case "done":
      return sql`
        state = case when repeat_ms is null then 'done' else 'queued' end,
        finished_at = case when repeat_ms is null then now() end,
        run_at = case when repeat_ms is null then run_at else least(run_at, now() + repeat_ms * interval '1 millisecond') end,
        attempts = case when repeat_ms is null then attempts else 0 end,
        progress = case when repeat_ms is null then 100 else 0 end, error = null, cancel_requested = false, cancel_by = null, checkpoint = '{}'`;
    case "canceled":
      return sql`
        state = case when repeat_ms is null then 'canceled' else 'queued' end,
        finished_at = case when repeat_ms is null then now() end, cancel_requested = false`;
    case "given_back":
      return sql`
        state = case when ${STOPPED} then 'canceled' else 'queued' end,
        finished_at = case when ${STOPPED} then now() end, run_at = now(), attempts = attempts - 1,
        cancel_requested = cancel_requested and repeat_ms is not null`;
    case "failed": {
      const { final, delayMs } = end;
      // A standing job is never dead. Its clock goes on, so a cancel request that came meanwhile still counts at the next run.
      const dead = sql`(repeat_ms is null and (${final}::boolean or attempts >= max_attempts))`;
      return sql`
        state = case when ${STOPPED} then 'canceled' when ${dead} then 'failed' else 'queued' end,
        finished_at = case when ${STOPPED} or ${dead} then now() end,
        cancel_requested = cancel_requested and repeat_ms is not null,
        run_at = now() + ${delayMs}::float8 * interval '1 millisecond',
        error = ${pgText(end.error.slice(0, MAX_ERROR_CHARS))}`;
    }
  }
}
