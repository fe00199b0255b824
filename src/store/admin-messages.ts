/** Single messages of the administration, by any of their ids: show, raw bytes, timeline. */
import {
  MAX_EVENTS,
  type MessageRecord,
  type PlaceSelector,
  type RawMessage,
  type RecordedEvent,
  type Timeline,
} from "../core/admin-ports.ts";
import { MairustError, NotFound } from "../core/errors.ts";
import { blobDigest, messageId } from "../core/ids.ts";
import type { EventKind } from "../core/ports/timeline.ts";
import { readAddress } from "./addresses.ts";
import { findMessage, isUuid, messageIdForms } from "./admin-search.ts";
import { type Db, type Queryable, sql } from "./db.ts";
import { normalizeMailboxName } from "./mailbox-names.ts";

/** Most messages that one id may mean: a queue id that came again, a Message-ID field sent many times. */
const MAX_MATCHES = 100;

interface Resolved {
  readonly matched: Timeline["matched"];
  /** Newest first; those with events only (refused, deferred) among them. */
  readonly ids: readonly string[];
}

/**
 * Which messages an id means: as a UUID, else as a queue id, else as a Message-ID field with or without angle brackets.
 * @throws {MairustError} `not_found`
 */
async function resolve(q: Queryable, id: string): Promise<Resolved> {
  if (isUuid(id)) return { matched: "message_id", ids: [id.toLowerCase()] };
  const byQueueId = await q.query<{ message_id: string }>`
    select message_id from messages where queue_id = ${id} and queue_id <> ''
    union select message_id from events where queue_id = ${id} and queue_id <> ''
    order by message_id desc limit ${MAX_MATCHES}`;
  if (byQueueId.length > 0) return { matched: "queue_id", ids: byQueueId.map(row => row.message_id) };
  const byField = await q.query<{ message_id: string }>`
    select message_id from messages where message_id_header = any(${messageIdForms(id)}::text[])
    order by message_id desc limit ${MAX_MATCHES}`;
  if (byField.length > 0) return { matched: "message_id_header", ids: byField.map(row => row.message_id) };
  throw noMessage(id);
}

function noMessage(id: string): MairustError {
  const text = `no message with id "${id}" (a queue id, a Message-ID field or the id in our logs)`;
  return new MairustError("not_found", `Cannot find the message: ${text}`, { publicText: text });
}

/** The newest stored one. @throws {MairustError} `not_found` */
export async function getMessage(db: Db, id: string): Promise<MessageRecord> {
  const { ids } = await resolve(db, id);
  for (const candidate of ids) {
    const message = await findMessage(db, candidate);
    if (message !== undefined) return message;
  }
  throw noMessage(id);
}

interface EventRow {
  readonly message_id: string;
  readonly queue_id: string;
  readonly at: Date;
  readonly kind: EventKind;
  readonly recipient: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

const toEvent = (row: EventRow): RecordedEvent => ({
  messageId: messageId(row.message_id),
  queueId: row.queue_id,
  at: row.at,
  kind: row.kind,
  ...(row.recipient === null ? {} : { recipient: row.recipient }),
  data: row.data,
});

/** How long a message may stay in an MTA's queue: a queue id that comes again later is another message's (short ids repeat). */
const QUEUE_DAYS = 7;

/**
 * The ids together with all others that the same mail was known by: the milter records under its trace id, and each try of the MTA
 * has an id of its own. The queue id holds them together.
 */
async function withSameQueueId(q: Queryable, ids: readonly string[]): Promise<readonly string[]> {
  const rows = await q.query<{ message_id: string }>`
    with known as (
      select queue_id, min(at) as first, max(at) as last from events
      where message_id = any(${ids}::uuid[]) and queue_id <> '' group by queue_id
    )
    select e.message_id from known k join events e on e.queue_id = k.queue_id and e.queue_id <> ''
    where e.at between k.first - make_interval(days => ${QUEUE_DAYS}::int) and k.last + make_interval(days => ${QUEUE_DAYS}::int)
    group by e.message_id order by e.message_id desc limit ${MAX_MATCHES}`;
  return [...new Set([...ids, ...rows.map(row => row.message_id)])];
}

/** @throws {MairustError} `not_found` */
export async function timeline(db: Db, id: string): Promise<Timeline> {
  const { matched, ids: named } = await resolve(db, id);
  const ids = matched === "queue_id" ? named : await withSameQueueId(db, named);
  const rows = await db.query<EventRow>`
    select message_id, queue_id, at, kind, recipient, data from (
      select message_id, queue_id, x.at, kind, recipient, data, id, n
      from events, rows from (jsonb_to_recordset(list) as (at timestamptz, kind text, recipient text, data jsonb))
        with ordinality as x(at, kind, recipient, data, n)
      where message_id = any(${ids}::uuid[])
      union all
      ${flagChanges(ids)}
    ) told
    order by at, id, n limit ${MAX_EVENTS + 1}`;
  if (rows.length === 0 && matched === "message_id" && (await findMessage(db, id)) === undefined)
    throw noMessage(id);
  return {
    matched,
    events: rows.slice(0, MAX_EVENTS).map(toEvent),
    truncated: rows.length > MAX_EVENTS,
  };
}

/** What users changed by IMAP, where the messages are and where they were. As many as a timeline shows at most. */
const flagChanges = (ids: readonly string[]) => sql`
  (select p.message_id, '', c.at, 'changed', a.local_part || '@' || a.domain, c.data, c.id, 0
  from (
    select message_id, mailbox_id, uid from entries where message_id = any(${ids}::uuid[]) union all
    select message_id, mailbox_id, uid from expunged where message_id = any(${ids}::uuid[])
  ) p
  join flag_changes c on c.places @> ((p.mailbox_id << 32) + p.uid)
  join mailboxes m on m.id = p.mailbox_id join accounts a on a.id = m.account_id
  order by c.at limit ${MAX_EVENTS + 1})`;

interface RawRow {
  readonly message_id: string;
  readonly account: string;
  readonly mailbox: string;
  readonly uid: number;
  readonly prefix: Uint8Array;
  readonly digest: string;
  readonly size_bytes: number;
  readonly total: number;
}

/**
 * One copy of a message: the one that the selector names, else the first of the newest message.
 * @param id  undefined: the selector alone (account, mailbox and uid) says which
 * @throws {MairustError} `not_found`, `invalid_argument`
 */
export async function raw(db: Db, id: string | undefined, place: PlaceSelector): Promise<RawMessage> {
  if (id === undefined && (place.account === undefined || place.uid === undefined)) {
    throw new MairustError("invalid_argument", "Cannot read a message: neither id nor account and UID");
  }
  const account = place.account === undefined ? undefined : readAddress(place.account);
  const mailbox = place.mailbox === undefined ? undefined : normalizeMailboxName(place.mailbox);
  const byId = id === undefined ? sql`true` : sql`e.message_id = any(${(await resolve(db, id)).ids}::uuid[])`;
  const byAccount =
    account === undefined ? sql`true` : sql`a.domain = ${account.domain} and a.local_part = ${account.local}`;
  const [row] = await db.query<RawRow>`
    select e.message_id, a.local_part || '@' || a.domain as account, b.name as mailbox, e.uid, e.prefix, e.size_bytes,
           encode(m.blob_digest, 'hex') as digest, count(*) over () as total
    from entries e join mailboxes b on b.id = e.mailbox_id join accounts a on a.id = b.account_id
      join messages m on m.message_id = e.message_id
    where ${byId} and ${byAccount}
      and ${mailbox === undefined ? sql`true` : sql`b.name = ${mailbox}`}
      and ${place.uid === undefined ? sql`true` : sql`e.uid = ${place.uid}`}
    order by e.message_id desc, e.mailbox_id, e.uid limit 1`;
  if (row === undefined)
    throw id === undefined ? new NotFound("message with UID", String(place.uid)) : noCopy(id);
  return {
    messageId: messageId(row.message_id),
    account: row.account,
    mailbox: row.mailbox,
    uid: row.uid,
    prefix: row.prefix,
    digest: blobDigest(row.digest),
    sizeBytes: row.size_bytes,
    otherPlaces: row.total - 1,
  };
}

function noCopy(id: string): MairustError {
  const text = `message "${id}" is in no such mailbox`;
  return new MairustError("not_found", `Cannot read the message: ${text}`, { publicText: text });
}
