/**
 * The inserts of one delivery batch: blobs, messages, entries, events; one statement per table, all sent before the first answer
 * is awaited. Rows travel as one JSON text each: no array typing, and `json_to_recordset` keeps the SQL plain.
 */
import type { MailboxId, MessageId } from "../core/ids.ts";
import type { Delivery, DeliveryTarget, TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { pgText, type Tx } from "./db.ts";

/** Where one target goes, once its locks are held. */
export interface PlacedTarget {
  readonly delivery: Delivery;
  readonly target: DeliveryTarget;
  readonly mailboxId: MailboxId;
  readonly mailbox: string;
  readonly uid: number;
  readonly modseq: number;
}

/** `outcomes[i][j]` is what became of target j of message i. */
export async function insertDelivered(
  tx: Tx,
  batch: readonly Delivery[],
  placed: readonly PlacedTarget[],
  outcomes: readonly (readonly TargetResult[])[],
): Promise<void> {
  const stored = new Set(placed.map(p => p.delivery));
  const eventRows = batch.map((delivery, i) => ({
    messageId: delivery.messageId,
    queueId: delivery.queueId,
    events: [
      ...delivery.events,
      ...delivery.targets.flatMap((target, j) => [...target.events, outcomeEvent(target, outcomes[i]?.[j])]),
    ],
  }));
  const statements = [insertEvents(tx, eventRows)];
  if (stored.size > 0) {
    const deliveries = batch.filter(d => stored.has(d));
    statements.push(insertBlobs(tx, deliveries), insertMessages(tx, deliveries), insertEntries(tx, placed));
  }
  await Promise.all(statements);
}

function outcomeEvent(target: DeliveryTarget, result: TargetResult | undefined): TimelineEvent {
  const base = { at: new Date(), recipient: target.recipient };
  switch (result?.kind) {
    case "stored":
      return { ...base, kind: "stored", data: { mailbox: result.mailbox, uid: result.uid } };
    case "duplicate":
      return { ...base, kind: "duplicate", data: { stored_as: result.messageId } };
    default:
      return { ...base, kind: "deferred", data: { reason: result?.kind ?? "unknown" } };
  }
}

/** Events of several messages in one statement; also used alone for messages that were not stored. */
export async function insertEvents(
  tx: Tx,
  messages: readonly {
    readonly messageId: MessageId;
    readonly queueId: string;
    readonly events: readonly TimelineEvent[];
  }[],
): Promise<void> {
  const rows = messages.flatMap(m =>
    m.events.map(event => ({
      m: m.messageId,
      q: m.queueId,
      t: event.at,
      k: event.kind,
      r: event.recipient,
      d: event.data,
    })),
  );
  if (rows.length === 0) return;
  await tx.query`
    insert into events (message_id, queue_id, at, kind, recipient, data)
    select m, q, t, k, r, d from json_to_recordset(${jsonText(rows)}::text::json)
      as e(m uuid, q text, t timestamptz, k text, r text, d jsonb)`;
}

async function insertBlobs(tx: Tx, deliveries: readonly Delivery[]): Promise<void> {
  const blobs = new Map(deliveries.map(d => [d.blob.digest as string, d.blob]));
  // In digest order: two nodes that store the same blobs lock them alike.
  const rows = [...blobs.values()]
    .sort((a, b) => (a.digest < b.digest ? -1 : 1))
    .map(b => ({ d: b.digest, s: b.sizeBytes, t: b.storedBytes, c: b.codec }));
  await tx.query`
    insert into blobs (digest, size_bytes, stored_bytes, codec)
    select decode(d, 'hex'), s, t, c from json_to_recordset(${JSON.stringify(rows)}::text::json) as b(d text, s bigint, t bigint, c text)
    on conflict (digest) do update set touched_at = now()`;
}

async function insertMessages(tx: Tx, deliveries: readonly Delivery[]): Promise<void> {
  const rows = deliveries.map(d => ({
    id: d.messageId,
    b: d.blob.digest,
    s: d.blob.sizeBytes,
    hb: d.headerBytes,
    st: hex(d.structure),
    h: d.header === undefined ? null : hex(d.header),
    mh: d.messageIdHeader,
    su: d.subject,
    f: d.from,
    th: d.threadKey,
    at: d.attachments,
    q: d.queueId,
    mf: d.mailFrom,
    r: d.receivedAt,
  }));
  await tx.query`
    insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, header, message_id_header, subject,
                          from_text, thread_key, attachments, queue_id, mail_from, received_at)
    select id, decode(b, 'hex'), s, hb, decode(st, 'hex'), decode(h, 'hex'), mh, su, f, th, at, q, mf, r
    from json_to_recordset(${jsonText(rows)}::text::json)
      as m(id uuid, b text, s bigint, hb int, st text, h text, mh text, su text, f text, th text, at int, q text, mf text, r timestamptz)`;
}

async function insertEntries(tx: Tx, placed: readonly PlacedTarget[]): Promise<void> {
  const rows = placed.map(p => ({
    b: p.mailboxId,
    u: p.uid,
    q: p.modseq,
    m: p.delivery.messageId,
    f: p.target.flags.system,
    k: p.target.flags.keywords,
    i: p.target.internalDate,
    p: hex(p.target.prefix),
    s: p.delivery.blob.sizeBytes + p.target.prefix.length,
    d: p.target.metadata,
  }));
  await tx.query`
    insert into entries (mailbox_id, uid, modseq, message_id, flags, keywords, internal_date, prefix, size_bytes, metadata)
    select b, u, q, m, f, coalesce((select array_agg(x) from json_array_elements_text(k) x), '{}'), i, decode(p, 'hex'), s, d
    from json_to_recordset(${jsonText(rows)}::text::json)
      as e(b bigint, u bigint, q bigint, m uuid, f smallint, k json, i timestamptz, p text, s bigint, d jsonb)`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** JSON that PostgreSQL takes: no U+0000, no lone surrogate anywhere (mail can hold both). */
function jsonText(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) => (typeof v === "string" ? pgText(v) : v));
}
