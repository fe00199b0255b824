/**
 * The outbox: mail that is to be sent, durable with the job that sends it, and what people see of it.
 *
 * States: queued ──all recipients taken──► done; queued ──one of them refused, or given up──► failed; queued ──its job canceled──►
 * canceled. What happens while it is queued is in `outbox-work.ts`.
 */
import type { Page, PageRequest } from "../core/admin-ports.ts";
import { MairustError, NotFound } from "../core/errors.ts";
import { messageId } from "../core/ids.ts";
import type {
  Outbox,
  OutgoingFilter,
  OutgoingMail,
  OutgoingPurpose,
  OutgoingRecord,
  OutgoingResult,
  OutgoingState,
  SentCopy,
} from "../core/ports/outbox.ts";
import { pageOf } from "./admin-change.ts";
import { isUuid } from "./admin-search.ts";
import { type ConfirmBlob, withRevival } from "./blob-revive.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, type Queryable, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";
import { type Queued, queueMail } from "./outbox-rows.ts";
import { refuseOldPut } from "./put-age.ts";

export interface OutboxOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
  readonly confirmBlob: ConfirmBlob;
  /** UUIDv7. */
  readonly newId: () => string;
  /** A job is due. */
  readonly onQueued: () => void;
}

export function createOutbox(options: OutboxOptions): Outbox {
  const { db } = options;
  return {
    queue: mail => queue(options, mail),
    async get(id) {
      const [row] = isUuid(id) ? await select(db, sql`where o.id = ${id}::uuid`) : [];
      if (row === undefined) throw new NotFound("sent mail", id);
      return toRecord(row);
    },
    list: (filter, page) => list(db, filter, page),
    async findByMessage(id) {
      const [row] = await select(
        db,
        sql`where o.message_id = ${id}::uuid and o.purpose = 'send' order by o.id limit 1`,
      );
      return row === undefined ? undefined : toRecord(row);
    },
    async countQueued() {
      const rows = await db.query<{ purpose: OutgoingPurpose; n: number }>`
        select purpose, count(*) as n from outbox where state = 'queued' group by purpose`;
      return new Map(rows.map(({ purpose, n }) => [purpose, n]));
    },
  };
}

async function queue(options: OutboxOptions, mail: OutgoingMail): Promise<{ id: string; already: boolean }> {
  const { db, changes, confirmBlob, newId, onQueued } = options;
  const { content } = mail;
  if (content.kind === "message") refuseOldPut(content.message.blob);
  const digests = content.kind === "message" ? [content.message.blob.digest] : [];
  const attempt = () => db.begin(tx => queueMail(tx, newId(), mail));
  const { id, already, mailboxId } = await withRevival(db, confirmBlob, digests, () => twice(attempt), false);
  if (mailboxId !== undefined) changes.publish([mailboxId]);
  if (!already) onQueued();
  return { id, already };
}

/** Who finds the key taken while it queues finds the other's mail the second time. */
async function twice(attempt: () => Promise<Queued>): Promise<Queued> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof MairustError && error.code === "already_exists") return attempt();
    throw error;
  }
}

interface OutboxRow {
  readonly id: string;
  readonly purpose: OutgoingPurpose;
  readonly state: OutgoingState;
  readonly message_id: string | null;
  readonly mail_from: string;
  readonly sent_copy: SentCopy | null;
  readonly job_id: number;
  readonly created_at: Date;
  readonly ended_at: Date | null;
  readonly canceled_by: string | null;
  readonly results: ReadonlyArray<{
    readonly recipient: string;
    readonly state: OutgoingResult["state"];
    readonly reply: string;
    readonly at: string | null;
  }>;
}

function select(q: Queryable, rest: Fragment): Promise<OutboxRow[]> {
  return q.query<OutboxRow>`
    select o.id, o.purpose, o.state, o.message_id, o.mail_from, o.sent_copy, o.job_id, o.created_at, o.ended_at, o.canceled_by,
           (select coalesce(jsonb_agg(jsonb_build_object('recipient', r.address, 'state', r.state, 'reply', r.reply, 'at', r.at)
                                      order by r.ord), '[]')
            from outbox_recipients r where r.outbox_id = o.id) as results
    from outbox o ${rest}`;
}

async function list(db: Db, filter: OutgoingFilter, page: PageRequest): Promise<Page<OutgoingRecord>> {
  const { purpose, state } = filter;
  const rows = await select(
    db,
    sql`where ${page.after === undefined ? sql`true` : sql`o.id < ${readCursor(page.after)}::uuid`}
      and ${purpose === undefined ? sql`true` : sql`o.purpose = ${purpose}`}
      and ${state === undefined ? sql`true` : sql`o.state = ${state}`}
      order by o.id desc limit ${page.limit + 1}`,
  );
  return pageOf(rows, page, toRecord, record => record.id);
}

function readCursor(text: string): string {
  if (isUuid(text)) return text;
  const reason = "the cursor is not one of ours";
  throw new MairustError("invalid_argument", `Cannot list sent mail: ${reason}`, { publicText: reason });
}

const toRecord = (row: OutboxRow): OutgoingRecord => ({
  id: row.id,
  purpose: row.purpose,
  messageId: row.message_id === null ? undefined : messageId(row.message_id),
  mailFrom: row.mail_from,
  state: row.state,
  results: row.results.map(one => ({ ...one, at: one.at === null ? undefined : new Date(one.at) })),
  sentCopy: row.sent_copy ?? undefined,
  jobId: row.job_id,
  createdAt: row.created_at,
  endedAt: row.ended_at ?? undefined,
  canceledBy: row.canceled_by ?? undefined,
});
