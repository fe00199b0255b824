/**
 * The inserts of one delivery batch: blobs, messages, entries, events; one statement per table, all sent before the first answer
 * is awaited. Rows travel as one JSON text each: no array typing, and `json_to_recordset` keeps the SQL plain.
 */
import type { MailboxId, MessageId } from "../core/ids.ts";
import type { Delivery, DeliveryTarget, TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { jsonText, type Tx } from "./db.ts";
import { refuseOldPut } from "./put-age.ts";

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
  if (stored.size === 0) return insertEvents(tx, eventRows);
  const deliveries = batch.filter(d => stored.has(d));
  // One statement for all four tables: foreign keys are checked at its end.
  await tx.query`
    with new_blobs as (
      insert into blobs (digest, size_bytes, stored_bytes, codec)
      select decode(d, 'hex'), s, t, c
      from json_to_recordset(${jsonText(blobRows(deliveries))}::text::json) as b(d text, s bigint, t bigint, c text)
      on conflict (digest) do update
        set touched_at = now(), stored_bytes = excluded.stored_bytes, codec = excluded.codec
    ), new_messages as (
      insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, header, message_id_header, subject,
                            from_text, thread_key, attachments, queue_id, mail_from, received_at)
      select id, decode(b, 'hex'), s, hb, decode(st, 'hex'), decode(h, 'hex'), mh, su, f, th, at, q, mf, r
      from json_to_recordset(${jsonText(messageRows(deliveries))}::text::json)
        as m(id uuid, b text, s bigint, hb int, st text, h text, mh text, su text, f text, th text, at int, q text, mf text, r timestamptz)
    ), new_entries as (
      insert into entries (mailbox_id, uid, modseq, message_id, flags, keywords, internal_date, prefix, size_bytes, metadata)
      select b, u, q, m, f, coalesce((select array_agg(x) from json_array_elements_text(k) x), '{}'), i, decode(p, 'hex'), s, d
      from json_to_recordset(${jsonText(entryRows(placed))}::text::json)
        as e(b bigint, u bigint, q bigint, m uuid, f smallint, k json, i timestamptz, p text, s bigint, d jsonb)
    )
    insert into events (message_id, queue_id, at, kind, recipient, data)
    select m, q, t, k, r, d from json_to_recordset(${jsonText(eventsOf(eventRows))}::text::json)
      as e(m uuid, q text, t timestamptz, k text, r text, d jsonb)`;
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

interface MessageEvents {
  readonly messageId: MessageId;
  readonly queueId: string;
  readonly events: readonly TimelineEvent[];
}

/** Events alone: of messages that were not stored. */
export async function insertEvents(tx: Tx, messages: readonly MessageEvents[]): Promise<void> {
  await tx.query`
    insert into events (message_id, queue_id, at, kind, recipient, data)
    select m, q, t, k, r, d from json_to_recordset(${jsonText(eventsOf(messages))}::text::json)
      as e(m uuid, q text, t timestamptz, k text, r text, d jsonb)`;
}

function eventsOf(messages: readonly MessageEvents[]) {
  return messages.flatMap(m =>
    m.events.map(event => ({
      m: m.messageId,
      q: m.queueId,
      t: event.at,
      k: event.kind,
      r: event.recipient,
      d: event.data,
    })),
  );
}

function blobRows(deliveries: readonly Delivery[]) {
  for (const { blob } of deliveries) refuseOldPut(blob);
  const blobs = new Map(deliveries.map(d => [d.blob.digest as string, d.blob]));
  // In digest order: two nodes that store the same blobs lock them alike.
  return [...blobs.values()]
    .sort((a, b) => (a.digest < b.digest ? -1 : 1))
    .map(b => ({ d: b.digest, s: b.sizeBytes, t: b.storedBytes, c: b.codec }));
}

function messageRows(deliveries: readonly Delivery[]) {
  return deliveries.map(d => ({
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
}

function entryRows(placed: readonly PlacedTarget[]) {
  return placed.map(p => ({
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
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}
