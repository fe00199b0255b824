/**
 * Handing queued mail over, each step one commit.
 *
 * open → begin (the mail may have been taken from here on) → record (what the MTA said, and the events). Killed in between, `attempt_at`
 * stays: the next try knows that nobody knows. The one-time id of the try says whether our milter saw the whole message; that it was
 * queued, the MTA alone knows, unless it comes back by LMTP: a queue manager delivers only what is queued, and it is queued for all whom
 * the milter was told of. So only then, and for them, a try is not repeated. An id that the milter merely saw proves nothing: the MTA may have failed to write
 * its queue file, and who did not repeat it then would lose the mail.
 */
import { parseMailAddress } from "../core/envelope.ts";
import { blobDigest, messageId } from "../core/ids.ts";
import type { HeldSession } from "../core/ports/holds.ts";
import type {
  AbandonedMail,
  AttemptResult,
  InterruptedAttempt,
  OutboxWork,
  OutgoingAttempt,
  OutgoingPurpose,
  RecordOptions,
} from "../core/ports/outbox.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { type Db, jsonText, pgText, type Queryable, type Tx } from "./db.ts";
import { insertEvents } from "./deliver-rows.ts";
import { queueMail } from "./outbox-rows.ts";
import { isLatestTry, issueToken } from "./submissions.ts";

/** Rows of one statement over many mails. */
const STEP = 2_000;
/** Characters kept of a reply. */
const MAX_REPLY_CHARS = 500;
/**
 * A queue id that Postfix never gives twice (`enable_long_queue_ids`): only by such a one what came back is surely the same message.
 * Source: Postfix src/global/mail_queue.h: seconds (at least 6 digits) and microseconds (4) in base 52, whose last digit is "z" too, then
 * "z" and the inode in base 51. A short id is hexadecimal.
 */
const LONG_QUEUE_ID = "^[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,}z[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-y]+$";

export interface OutboxWorkOptions {
  readonly db: Db;
  /** UUIDv7. */
  readonly newId: () => string;
  /** A job is due. */
  readonly onQueued: () => void;
}

export function createOutboxWork({ db, newId, onQueued }: OutboxWorkOptions): OutboxWork {
  return {
    open: id => open(db, id),
    begin: id =>
      db.begin(async tx => {
        const [row] = await tx.query<{ purpose: OutgoingPurpose }>`
          update outbox set attempt_at = now() where id = ${id}::uuid and state = 'queued' returning purpose`;
        if (row === undefined) return undefined;
        // Judged already: by the chain of `pre_send`, or not at all, being ours.
        return issueToken(tx, { outboxId: id }, row.purpose === "send" ? "pre_send" : "pre_receive", []);
      }),
    async record(id, results, options = {}) {
      const ended = await db.begin(tx => record(tx, id, results, options, newId));
      if (ended && options.notice !== undefined) onQueued();
      return ended;
    },
    abandoned: () => abandoned(db),
    deleteEnded: keepDays => deleteEnded(db, keepDays),
  };
}

interface AttemptRow {
  readonly purpose: OutgoingPurpose;
  readonly message_id: string | null;
  readonly mail_from: string;
  readonly dsn: NonNullable<HeldSession["dsn"]>;
  readonly top: string;
  readonly content: Uint8Array | null;
  readonly digest: string | null;
  readonly header: Uint8Array | null;
  readonly created_at: Date;
  readonly attempt_at: Date | null;
}

interface RecipientRow {
  readonly ord: number;
  readonly address: string;
  readonly orcpt: string | null;
  readonly notify: readonly string[] | null;
  readonly state: AttemptResult["state"];
  readonly reply: string;
}

async function open(db: Db, id: string): Promise<OutgoingAttempt | undefined> {
  const [row] = await db.query<AttemptRow>`
    select o.purpose, o.message_id, o.mail_from, o.dsn, o.top, o.content, encode(m.blob_digest, 'hex') as digest, m.header,
           o.created_at, o.attempt_at
    from outbox o left join messages m on m.message_id = o.open_message_id
    where o.id = ${id}::uuid and o.state = 'queued'`;
  if (row === undefined) return undefined;
  const recipients = await db.query<RecipientRow>`
    select ord, address, orcpt, notify, state, reply from outbox_recipients where outbox_id = ${id}::uuid order by ord`;
  return {
    id,
    purpose: row.purpose,
    messageId: row.message_id === null ? undefined : messageId(row.message_id),
    mailFrom: row.mail_from,
    dsn: row.dsn,
    top: row.top,
    content:
      row.content === null
        ? { kind: "blob", digest: blobDigest(row.digest ?? "") }
        : { kind: "bytes", bytes: row.content },
    header: row.header ?? undefined,
    createdAt: row.created_at,
    waiting: recipients.filter(one => one.state === "waiting").map(toRecipient),
    refused: recipients.filter(one => one.state === "refused").map(toRecipient),
    interrupted: row.attempt_at === null ? undefined : await interrupted(db, id),
  };
}

const toRecipient = ({ ord, address, orcpt, notify, reply }: RecipientRow) => ({
  ...{ ord, reply },
  address: parseMailAddress(address),
  ...(orcpt === null ? {} : { orcpt }),
  ...(notify === null ? {} : { notify }),
});

/** Of the newest try: what came before it had its outcome recorded. */
async function interrupted(db: Db, id: string): Promise<InterruptedAttempt> {
  const [row] = await db.query<{
    queue_id: string | null;
    recipients: readonly string[] | null;
    came_back: boolean | null;
  }>`
    select s.queue_id, s.recipients, s.queue_id ~ ${LONG_QUEUE_ID} and (
             exists (select from deliveries d where d.queue_id = s.queue_id)
             or exists (select from messages m where m.queue_id = s.queue_id)
           ) as came_back
    from submissions s where s.outbox_id = ${id}::uuid order by s.created_at desc limit 1`;
  const queueId = row?.queue_id ?? "";
  return {
    queueId: queueId === "" ? undefined : queueId,
    cameBackFor: (row?.came_back === true ? row.recipients : null) ?? [],
  };
}

async function record(
  tx: Tx,
  id: string,
  results: readonly AttemptResult[],
  { notice, abandoned, token }: RecordOptions,
  newId: () => string,
): Promise<boolean> {
  const [mail] = await tx.query<{ message_id: string | null; job_id: number }>`
    select message_id, job_id from outbox where id = ${id}::uuid and state = 'queued' for update`;
  // Its job was taken for dead, and it was ended meanwhile: what is there stays.
  if (mail === undefined) return true;
  if (abandoned !== undefined && (await isAlive(tx, mail.job_id))) return false;
  const rows = results.map(({ ord, state, reply }) => ({ n: ord, s: state, t: clean(reply) }));
  await tx.query`
    update outbox_recipients r set state = w.s, reply = w.t, at = now()
    from json_to_recordset(${jsonText(rows)}::text::json) as w(n int, s text, t text)
    where r.outbox_id = ${id}::uuid and r.ord = w.n and r.state = 'waiting'`;
  // Whose job was taken over meanwhile leaves the try of the other one alone.
  if (token === undefined || (await isLatestTry(tx, id, token))) {
    // Of no use any more, whoever saw it.
    await tx.run`update submissions set expires_at = least(expires_at, now()) where outbox_id = ${id}::uuid`;
    await tx.run`update outbox set attempt_at = null where id = ${id}::uuid`;
  }
  await addEvents(tx, id, mail.message_id, results);
  const ended = await end(tx, id, abandoned?.canceledBy);
  if (ended && notice !== undefined) await queueMail(tx, newId(), notice);
  return ended;
}

const clean = (reply: string) =>
  pgText(reply.replace(/[\p{Cc}\u2028\u2029]+/gu, " ").slice(0, MAX_REPLY_CHARS));

/** When nobody waits any more. */
async function end(tx: Tx, id: string, canceledBy: string | undefined): Promise<boolean> {
  const by = canceledBy === undefined ? null : pgText(canceledBy);
  const rows = await tx.run`
    update outbox set ended_at = now(), content = null, canceled_by = ${by}::text, state = case
      when ${by}::text is not null then 'canceled'
      when exists (select from outbox_recipients r where r.outbox_id = ${id}::uuid and r.state = 'refused') then 'failed' else 'done' end
    where id = ${id}::uuid and state = 'queued'
      and not exists (select from outbox_recipients r where r.outbox_id = ${id}::uuid and r.state = 'waiting')`;
  return rows === 1;
}

async function addEvents(
  q: Queryable,
  id: string,
  message: string | null,
  results: readonly AttemptResult[],
): Promise<void> {
  if (message === null) return;
  // Under the MTA's queue ids, so that its log leads here.
  const byQueueId = new Map<string, TimelineEvent[]>();
  for (const result of results) {
    const queueId = result.state === "taken" ? queuedAs(result.reply) : "";
    byQueueId.set(queueId, [...(byQueueId.get(queueId) ?? []), eventOf(id, result)]);
  }
  await insertEvents(
    q,
    [...byQueueId].map(([queueId, events]) => ({ messageId: messageId(message), queueId, events })),
  );
}

/** Whoever wants it run again waits until this is committed. */
async function isAlive(tx: Tx, job: number): Promise<boolean> {
  const [row] = await tx.query<{ alive: boolean }>`
    select state in ('queued', 'running') as alive from jobs where id = ${job} for share`;
  return row?.alive === true;
}

const KINDS = { taken: "sent", refused: "refused", waiting: "deferred", canceled: "canceled" } as const;

function eventOf(id: string, { recipient, state, reply }: AttemptResult): TimelineEvent {
  const text = clean(reply);
  const data = { outbox: id, reply: text };
  return { at: new Date(), kind: KINDS[state], recipient, data };
}

/** Postfix: `250 2.0.0 Ok: queued as 4WsRJ55TZyz1J2k`. */
function queuedAs(reply: string): string {
  return /queued as ([A-Za-z0-9]{6,30})\b/u.exec(reply)?.[1] ?? "";
}

/** Oldest first. A job that lost its process at its last run is found here too: the queue calls it failed. */
async function abandoned(db: Db): Promise<readonly AbandonedMail[]> {
  const rows = await db.query<{ id: string; canceled_by: string | null }>`
    select o.id, case when j.state = 'canceled' then coalesce(j.cancel_by, 'somebody') end as canceled_by
    from outbox o left join jobs j on j.id = o.job_id
    where o.state = 'queued' and (j.id is null or j.state not in ('queued', 'running'))
    order by o.id limit ${STEP}`;
  return rows.map(row => ({ id: row.id, canceledBy: row.canceled_by ?? undefined }));
}

async function deleteEnded(db: Db, keepDays: number): Promise<number> {
  const deleted = await db.run`
    delete from outbox where id = any(array(
      select id from outbox where ended_at < now() - make_interval(days => ${keepDays}::int) limit ${STEP}
    ))`;
  await db.run`delete from idempotency where created_at < now() - interval '24 hours'`;
  return deleted;
}
