/**
 * The inserts of one batch of imported messages, under the locks of `import-messages.ts`: blobs, messages, entries, events. Not by
 * `store_deliveries`, because imported messages may bring their UIDs along.
 */
import { MairustError } from "../core/errors.ts";
import type { Delivery, DeliveryTarget } from "../core/ports/store.ts";
import { arrayText, json, pgText, type Tx } from "./db.ts";

export interface PlacedMessage {
  readonly delivery: Delivery;
  readonly target: DeliveryTarget;
  readonly uid: number;
  readonly modseq: number;
}

/** The collector has claimed a blob since it was written: its file may be gone (`blob-gc.ts`). */
export class BlobClaimed extends MairustError {
  constructor() {
    super("store_unavailable", "Cannot store yet: the same bytes were being collected", {
      publicText: "please try again",
    });
  }
}

/** @throws {BlobClaimed} the transaction has to be rolled back */
export async function insertImported(
  tx: Tx,
  mailbox: { readonly id: number; readonly name: string },
  placed: readonly PlacedMessage[],
): Promise<void> {
  await insertBlobs(tx, placed);
  const m = <T>(column: (delivery: Delivery) => T) => placed.map(({ delivery }) => column(delivery));
  const t = <T>(column: (target: DeliveryTarget) => T) => placed.map(({ target }) => column(target));
  // One statement: foreign keys are checked at its end.
  await tx.query`
    with new_messages as (
      insert into messages (message_id, blob_digest, size_bytes, header_bytes, structure, header, message_id_header, subject, from_text,
                            thread_key, attachments, queue_id, mail_from, received_at)
      select id, d, s, hb, st, h, mh, su, f, th, at, '', '', r
      from unnest(${m(d => d.messageId)}::uuid[], ${m(d => `\\x${d.blob.digest}`)}::bytea[], ${m(d => d.blob.sizeBytes)}::bigint[],
        ${m(d => d.headerBytes)}::int[], ${m(d => d.structure)}::bytea[], ${m(d => d.header ?? null)}::bytea[],
        ${m(d => textOrNull(d.messageIdHeader))}::text[], ${m(d => pgText(d.subject))}::text[], ${m(d => pgText(d.from))}::text[],
        ${m(d => textOrNull(d.threadKey))}::text[], ${m(d => d.attachments)}::int[], ${m(d => d.receivedAt)}::timestamptz[])
        as m (id, d, s, hb, st, h, mh, su, f, th, at, r)
    ), new_entries as (
      insert into entries (mailbox_id, uid, modseq, message_id, flags, keywords, internal_date, size_bytes)
      select ${mailbox.id}, u, q, id, f, k::text[], i, s
      from unnest(${placed.map(p => p.uid)}::bigint[], ${placed.map(p => p.modseq)}::bigint[], ${m(d => d.messageId)}::uuid[],
        ${t(x => x.flags.system)}::smallint[], ${t(x => arrayText(x.flags.keywords.map(pgText)))}::text[],
        ${t(x => x.internalDate)}::timestamptz[], ${m(d => d.blob.sizeBytes)}::bigint[]) as e (u, q, id, f, k, i, s)
    )
    insert into events (message_id, at, list)
    select * from unnest(${m(d => d.messageId)}::uuid[], ${m(d => d.events[0]?.at ?? new Date())}::timestamptz[],
      ${placed.map(p => json(eventsOf(p, mailbox.name)))}::jsonb[])`;
}

async function insertBlobs(tx: Tx, placed: readonly PlacedMessage[]): Promise<void> {
  const byDigest = new Map(placed.map(({ delivery }) => [delivery.blob.digest as string, delivery.blob]));
  // In digest order, as deliveries lock them.
  const blobs = [...byDigest.values()].sort((one, other) => (one.digest < other.digest ? -1 : 1));
  const put = await tx.run`
    insert into blobs as k (digest, size_bytes, stored_bytes, codec)
    select * from unnest(${blobs.map(b => `\\x${b.digest}`)}::bytea[], ${blobs.map(b => b.sizeBytes)}::bigint[],
      ${blobs.map(b => b.storedBytes)}::bigint[], ${blobs.map(b => b.codec)}::text[])
    on conflict (digest) do update set touched_at = now(), stored_bytes = excluded.stored_bytes, codec = excluded.codec
      where k.claimed_at is null`;
  if (put < blobs.length) throw new BlobClaimed();
}

function eventsOf({ delivery, target, uid }: PlacedMessage, mailbox: string) {
  const stored = { at: new Date(), kind: "stored", recipient: target.recipient, data: { mailbox, uid } };
  return [...delivery.events, stored];
}

const textOrNull = (text: string | undefined) => (text === undefined ? null : pgText(text));
