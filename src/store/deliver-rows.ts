/**
 * One batch of deliveries as the arrays that `store_deliveries` takes, and its answer (message path, step 7). The function itself is
 * in `migrations/0001_init.sql`: it locks, recognises redeliveries, gives UIDs and inserts, one statement per table.
 */

import { copyChanges } from "../core/copy-changes.ts";
import { MairustError } from "../core/errors.ts";
import type { AccountId, MessageId } from "../core/ids.ts";
import { mailboxId, messageId } from "../core/ids.ts";
import type { Delivery, DeliveryTarget, TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { arrayText, json, pgText, type Queryable, sql } from "./db.ts";
import { insertJournalFrom, type JournalRow } from "./journal-rows.ts";
import { refuseOldPut } from "./put-age.ts";

/** SQLSTATE of "a mailbox has to be made first"; nothing was stored. */
export const MAILBOX_MISSING = "MRBOX";

/** SQLSTATE of "the collector has claimed a blob, its file may be gone"; nothing was stored. */
export const BLOB_CLAIMED = "MRBLB";

/**
 * Runs of a message's follow-up job before it is dead: with the queue's back-off about a day, so that a plugin that was away over
 * night still gets its mail.
 */
export const FOLLOW_UP_ATTEMPTS = 36;

const INBOX = "INBOX";

/** The recipient's part of a redelivery key. By id: an account that was removed and made again is another one. */
export const recipientKey = (account: AccountId) => `account:${account}`;

/** The same where mail is relayed: as the MTA gave it, because each RCPT has a reply of its own. */
export const rcptKey = (raw: string) => `rcpt:${raw}`;

export interface StoreCall {
  readonly batch: readonly Delivery[];
  /** How long it may wait for a lock. */
  readonly lockMs: number;
  /** Redelivery keys older than this do not count. */
  readonly windowS: number;
  /** Refuse the batch with {@link MAILBOX_MISSING} instead of falling back to INBOX. */
  readonly makeMissing: boolean;
  /** UIDs that the targets must get, all of them in order (import); null, or no list: the next one. */
  readonly uids?: readonly (number | null)[];
}

interface OutcomeRow {
  readonly outcome: string;
  readonly mailbox_id: number | null;
  readonly mailbox: string | null;
  readonly uid: number | null;
  readonly stored_as: string | null;
}

/** @returns what became of each target, `[message][target]`. @throws {MairustError} nothing of the batch is stored, see `deliver.ts` */
export async function storeDeliveries(
  db: Queryable,
  { batch, lockMs, windowS, makeMissing, uids }: StoreCall,
): Promise<readonly (readonly TargetResult[])[]> {
  for (const { blob } of batch) refuseOldPut(blob);
  const targets = batch.flatMap(({ targets }, i) => targets.map(target => ({ target, message: i + 1 })));
  const m = <T>(column: (delivery: Delivery) => T) => batch.map(column);
  const t = <T>(column: (target: DeliveryTarget) => T) => targets.map(({ target }) => column(target));
  // The largest first: the driver's buffer grows by half at a time, with a copy of what it has.
  const call = sql`
    store_deliveries(
      t_prefix => ${t(x => x.prefix)}::bytea[], m_header => ${m(d => d.header ?? null)}::bytea[],
      m_structure => ${m(d => d.structure)}::bytea[], m_events => ${m(d => json(eventList(d)))}::jsonb[],
      window_s => ${windowS}::float8, lock_ms => ${lockMs}::int, make_missing => ${makeMissing}::boolean,
      decided_at => ${new Date()}::timestamptz,
      m_id => ${m(d => d.messageId)}::uuid[], m_digest => ${m(d => `\\x${d.blob.digest}`)}::bytea[],
      m_size => ${m(d => d.blob.sizeBytes)}::bigint[], m_stored => ${m(d => d.blob.storedBytes)}::bigint[],
      m_codec => ${m(d => d.blob.codec)}::text[], m_header_bytes => ${m(d => d.headerBytes)}::int[],
      m_message_id_header => ${m(d => textOrNull(d.messageIdHeader))}::text[], m_subject => ${m(d => pgText(d.subject))}::text[],
      m_from => ${m(d => pgText(d.from))}::text[], m_thread => ${m(d => textOrNull(d.threadKey))}::text[],
      m_attachments => ${m(d => d.attachments)}::int[], m_queue => ${m(d => pgText(d.queueId))}::text[],
      m_mail_from => ${m(d => pgText(d.mailFrom))}::text[], m_received => ${m(d => d.receivedAt)}::timestamptz[],
      m_follow_up => ${batch.some(d => d.followUp !== undefined) ? m(d => d.followUp ?? null) : null}::text[],
      follow_up_attempts => ${FOLLOW_UP_ATTEMPTS}::int,
      t_message => ${targets.map(({ message }) => message)}::int[], t_account => ${t(x => x.accountId as number)}::bigint[],
      t_recipient => ${t(x => pgText(x.recipient))}::text[], t_mailbox => ${t(x => x.mailbox)}::text[],
      t_missing => ${t(x => x.ifMissing)}::text[], t_flags => ${t(x => x.flags.system)}::smallint[],
      t_keywords => ${t(x => arrayText(x.flags.keywords.map(pgText)))}::text[], t_date => ${t(x => x.internalDate)}::timestamptz[],
      t_metadata => ${t(x => json(x.metadata))}::jsonb[], t_once => ${t(x => x.exactlyOnce)}::boolean[],
      t_uid => ${uids ?? targets.map(() => null)}::bigint[])`;
  const journal = journalOf(batch);
  // Mostly no plugin changed anything: then it is the one call.
  const rows = await (journal.length === 0
    ? db.query<OutcomeRow>`select * from ${call}`
    : db.query<OutcomeRow>`
        with stored as materialized (
          select * from ${call} with ordinality as s (outcome, mailbox_id, mailbox, uid, stored_as, n)
        ), journal as (
          ${insertJournalFrom(journal)} join stored s on s.n = w.target where s.outcome = 'stored'
        )
        select outcome, mailbox_id, mailbox, uid, stored_as from stored order by n`);
  let next = 0;
  return batch.map(({ targets }) => targets.map(() => outcomeOf(rows[next++])));
}

/** What wishes made of copies that came without flags, keywords and metadata, to INBOX. */
function journalOf(batch: readonly Delivery[]): readonly (JournalRow & { readonly target: number })[] {
  let place = 0;
  return batch.flatMap(({ messageId: id, targets }) =>
    targets.flatMap(({ accountId: account, wishes, flags, metadata, mailbox }) => {
      place += 1;
      if (wishes === undefined) return [];
      const before = { flags: 0, keywords: [], metadata: {}, mailbox: INBOX };
      const after = { flags: flags.system, keywords: flags.keywords, metadata, mailbox };
      const target = place;
      return copyChanges(wishes, before, after).map(made => ({ messageId: id, account, target, ...made }));
    }),
  );
}

function outcomeOf(row: OutcomeRow | undefined): TargetResult {
  if (row?.outcome === "stored" && row.mailbox_id !== null && row.mailbox !== null && row.uid !== null)
    return { kind: "stored", mailboxId: mailboxId(row.mailbox_id), mailbox: row.mailbox, uid: row.uid };
  if (row?.outcome === "duplicate" && row.stored_as !== null)
    return { kind: "duplicate", messageId: messageId(row.stored_as) };
  if (row?.outcome === "over_quota" || row?.outcome === "gone") return { kind: row.outcome };
  throw new MairustError(
    "internal",
    `Cannot tell what became of a delivery: the store answered "${row?.outcome}"`,
  );
}

/** Events of a message that was not stored. */
export interface UnstoredEvents {
  readonly messageId: MessageId;
  readonly queueId: string;
  readonly events: readonly TimelineEvent[];
}

export async function insertEvents(db: Queryable, messages: readonly UnstoredEvents[]): Promise<void> {
  await db.query`${eventsInsert(messages)}`;
}

/** That insert, for a statement that does more. */
export function eventsInsert(messages: readonly UnstoredEvents[]) {
  const filled = messages.filter(m => m.events.length > 0);
  return sql`
    insert into events (message_id, queue_id, at, list)
    select * from unnest(${filled.map(m => m.messageId)}::uuid[], ${filled.map(m => pgText(m.queueId))}::text[],
      ${filled.map(m => m.events[0]?.at ?? new Date())}::timestamptz[], ${filled.map(m => json(m.events))}::jsonb[])`;
}

/** What is known before the outcome: of the whole message, then of each recipient. */
function eventList(delivery: Delivery): readonly TimelineEvent[] {
  return [...delivery.events, ...delivery.targets.flatMap(target => target.events)];
}

const textOrNull = (text: string | undefined) => (text === undefined ? null : pgText(text));
