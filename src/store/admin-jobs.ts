/** The job queue as people see it: list, show, cancel, run again. One statement each; the checks are its conditions. */
import type { Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError, NotFound } from "../core/errors.ts";
import type { JobAdmin, JobCount, JobData, JobFilter, JobRecord, JobState } from "../core/ports/jobs.ts";
import { SEND_MAIL_JOB } from "../core/ports/outbox.ts";
import { pageOf } from "./admin-change.ts";
import { type Db, pgText, type Queryable, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";

interface JobRow {
  readonly id: number;
  readonly kind: string;
  readonly state: JobState;
  readonly payload: JobData;
  readonly progress: number;
  readonly attempts: number;
  readonly max_attempts: number;
  readonly error: string | null;
  readonly repeat_ms: number | null;
  readonly cancel_requested: boolean;
  readonly cancel_by: string | null;
  readonly message_id: string | null;
  readonly created_at: Date;
  readonly run_at: Date;
  readonly finished_at: Date | null;
}

export interface JobAdminOptions {
  readonly db: Db;
  /** After a commit: jobs are due, or running ones are to end. */
  readonly onChange: () => void;
  /** After a commit that ended a job which had not begun; never rejects. */
  readonly onCanceled?: (job: JobRecord) => Promise<void>;
}

export function createJobAdmin({ db, onChange, onCanceled }: JobAdminOptions): JobAdmin {
  return {
    list: (filter, page) => list(db, filter, page),
    get: id => get(db, id),
    async cancel(id, by) {
      const rows = await db.run`
        update jobs set cancel_requested = (state = 'running'), cancel_by = ${pgText(by)},
          state = case when state = 'running' then state else 'canceled' end,
          finished_at = case when state = 'running' then null else now() end
        where id = ${id} and state in ('queued', 'running') and repeat_ms is null`;
      const job = await get(db, id);
      if (rows === 0) throw notCanceled(job);
      onChange();
      if (job.state === "canceled") await onCanceled?.(job);
      return job;
    },
    async retry(id) {
      // A mail that has ended is told of already, by a notice or its record: its job would find nothing to do. One that is being ended
      // right now is waited for ("for share"), so that nobody is told of a try that never comes.
      const rows = await db.run`
        with mail as (select id from outbox where job_id = ${id} and state = 'queued' for share)
        update jobs j set state = 'queued', run_at = now(), attempts = 0, progress = 0, finished_at = null, cancel_requested = false,
          cancel_by = null
        where j.id = ${id} and j.state in ('failed', 'canceled')
          and (j.kind <> ${SEND_MAIL_JOB} or exists (select from mail))`;
      const job = await get(db, id);
      if (rows === 0) throw notRetried(job);
      onChange();
      return job;
    },
    counts: () => counts(db),
  };
}

function notCanceled(job: JobRecord): MairustError {
  const text = job.standing
    ? `job ${job.id} ("${job.kind}") is part of the service and runs again and again`
    : `job ${job.id} has ended: it is ${job.state}`;
  return new MairustError(job.standing ? "not_permitted" : "invalid_state", `Cannot cancel: ${text}`, {
    publicText: text,
  });
}

function notRetried({ id, state }: JobRecord): MairustError {
  const text =
    state === "failed" || state === "canceled"
      ? `job ${id} is ${state}, and the mail that it was to send has ended`
      : `job ${id} is ${state}; only failed and canceled jobs can be run again`;
  return new MairustError("invalid_state", `Cannot retry: ${text}`, { publicText: text });
}

function select(q: Queryable, rest: Fragment): Promise<readonly JobRow[]> {
  return q.query<JobRow>`
    select id, kind, state, payload, progress, attempts, max_attempts, error, repeat_ms, cancel_requested, cancel_by, message_id,
           created_at, run_at, finished_at
    from jobs ${rest}`;
}

async function list(db: Db, filter: JobFilter, page: PageRequest): Promise<Page<JobRecord>> {
  const { kind, state } = filter;
  const rows = await select(
    db,
    sql`where ${page.after === undefined ? sql`true` : sql`id < ${readCursor(page.after)}`}
      and ${kind === undefined ? sql`true` : sql`kind = ${kind}`}
      and ${state === undefined ? sql`true` : sql`state = ${state}`}
      order by id desc limit ${page.limit + 1}`,
  );
  return pageOf(rows, page, toRecord, job => String(job.id));
}

function readCursor(text: string): number {
  const id = Number(text);
  if (Number.isSafeInteger(id)) return id;
  const reason = "the cursor is not one of ours";
  throw new MairustError("invalid_argument", `Cannot list jobs: ${reason}`, { publicText: reason });
}

async function get(db: Db, id: number): Promise<JobRecord> {
  const [row] = await select(db, sql`where id = ${id}`);
  if (row === undefined) throw new NotFound("job", String(id));
  return toRecord(row);
}

function counts(db: Db): Promise<readonly JobCount[]> {
  return db.query<{ kind: string; state: JobState; count: number; ageSeconds: number }>`
    select kind, state, count(*) as count,
      greatest(0, coalesce(extract(epoch from now() - min(run_at) filter (where state = 'queued')), 0))::float8 as "ageSeconds"
    from jobs group by kind, state`;
}

const toRecord = (row: JobRow): JobRecord => ({
  id: row.id,
  kind: row.kind,
  state: row.state,
  payload: row.payload,
  progress: row.progress,
  attempts: row.attempts,
  maxAttempts: row.max_attempts,
  error: row.error ?? undefined,
  standing: row.repeat_ms !== null,
  cancelRequested: row.cancel_requested,
  canceledBy: row.cancel_by ?? undefined,
  messageId: row.message_id ?? undefined,
  createdAt: row.created_at,
  runAt: row.run_at,
  finishedAt: row.finished_at ?? undefined,
});
