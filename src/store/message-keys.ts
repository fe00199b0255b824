/**
 * The keys that IMAP sorts and threads by: made from the stored header, so that no blob is read but for messages whose header was too
 * large for its row. The job makes them after the commit, `message-order.ts` where a client is quicker; both make the same.
 */
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { MairustError } from "../core/errors.ts";
import { blobDigest, type MessageId, messageId } from "../core/ids.ts";
import { MESSAGE_KEYS_VERSION, type MessageKeys, makeMessageKeys } from "../core/order/message-keys.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageKeyStore } from "../core/ports/message-keys.ts";
import { type Db, jsonText, pgText, sql } from "./db.ts";
import { walkMessages } from "./message-walk.ts";

/** Messages whose headers are in memory at a time: 8 MB at most. */
const PAGE = 128;
/** Octets of a header that is read from its blob; what stands behind them has no part in the keys. */
const HEADER_BYTES = 262_144;
/** How long keys are made before the event loop gets its turn. */
const SLICE_MS = 10;
/** Of keys that are only a stand-in, since the blob could not be read: made again at the next walk. */
const NO_VERSION = 0;

/** True for a row `s` of messages whose keys are there. */
const HAS_KEYS = sql`exists (
  select 1 from message_keys k where k.message_id = s.message_id and k.version = ${MESSAGE_KEYS_VERSION}::smallint
)`;

export interface MessageKeyParts {
  readonly db: Db;
  readonly blobs: Pick<BlobStore, "get">;
  readonly log: Log;
}

export function createMessageKeyStore(parts: MessageKeyParts): MessageKeyStore {
  const { db, log } = parts;
  return {
    walk: (direction, from, limit) => walkMessages(db, HAS_KEYS, direction, from, limit),
    // Nobody relies on it: who sorts finds what has no keys by itself.
    setCompleteBelow: async () => undefined,
    make: (ids, signal) => makeAll(parts, ids, signal),
    async giveUp(id, reason) {
      log.warn("message has no keys to sort by", { id, reason });
      await save(db, [{ id, version: MESSAGE_KEYS_VERSION, keys: keysOf(new Uint8Array(0)) }]);
    },
  };
}

interface Made {
  readonly id: MessageId;
  readonly version: number;
  readonly keys: MessageKeys;
}

async function makeAll(
  parts: MessageKeyParts,
  ids: readonly MessageId[],
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < ids.length; at += PAGE) {
    signal.throwIfAborted();
    await makePage(parts, ids.slice(at, at + PAGE));
  }
}

interface HeaderRow {
  readonly message_id: string;
  readonly header: Buffer | null;
  readonly digest: string;
  readonly header_bytes: number;
}

async function makePage(parts: MessageKeyParts, ids: readonly MessageId[]): Promise<void> {
  const rows = await parts.db.query<HeaderRow>`
    select message_id, header, encode(blob_digest, 'hex') as digest, header_bytes
    from messages where message_id = any(${[...ids]}::uuid[])`;
  const made: Made[] = [];
  let startedAt = performance.now();
  for (const row of rows) {
    made.push(await madeOf(parts, row));
    if (performance.now() - startedAt < SLICE_MS) continue;
    await setImmediate();
    startedAt = performance.now();
  }
  await save(parts.db, made);
}

async function madeOf(parts: MessageKeyParts, row: HeaderRow): Promise<Made> {
  const id = messageId(row.message_id);
  try {
    const header = row.header ?? (await readHeader(parts, row));
    return { id, version: MESSAGE_KEYS_VERSION, keys: keysOf(header) };
  } catch (error) {
    if (!(error instanceof MairustError)) throw error;
    parts.log.info("message is sorted without its header", { id, reason: error.code });
    return { id, version: NO_VERSION, keys: keysOf(new Uint8Array(0)) };
  }
}

async function readHeader({ blobs }: MessageKeyParts, row: HeaderRow): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const range = { start: 0, end: Math.min(row.header_bytes, HEADER_BYTES) };
  for await (const chunk of blobs.get(blobDigest(row.digest), range)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function keysOf(header: Uint8Array): MessageKeys {
  return makeMessageKeys(header, hash52);
}

/** Nobody can make two message ids that thread as one. */
function hash52(text: string): number {
  const digest = createHash("sha256").update(text).digest();
  return digest.readUIntBE(0, 6) * 16 + (digest.readUInt8(6) >>> 4) || 1;
}

async function save(db: Db, made: readonly Made[]): Promise<void> {
  if (made.length === 0) return;
  const rows = made.map(({ id, version, keys }) => ({
    m: id,
    v: version,
    d: keys.sentS,
    s: pgText(keys.subject),
    f: pgText(keys.from),
    t: pgText(keys.to),
    c: pgText(keys.cc),
    r: keys.isReply,
    h: keys.subjectHash,
    i: `{${keys.ids.join(",")}}`,
  }));
  // The lock keeps a message from going between the look and the foreign key. Who has one locked removes it, and others in any order:
  // waiting for it could be a deadlock.
  await db.run`
    insert into message_keys (message_id, version, sent_s, subject, from_key, to_key, cc_key, is_reply, subject_hash, ids)
    select m.message_id, w.v, w.d, w.s, w.f, w.t, w.c, w.r, w.h, w.i::bigint[]
    from json_to_recordset(${jsonText(rows)}::text::json)
      as w(m uuid, v smallint, d bigint, s text, f text, t text, c text, r boolean, h bigint, i text)
    join messages m on m.message_id = w.m
    order by m.message_id for key share of m skip locked
    on conflict (message_id) do update set version = excluded.version, sent_s = excluded.sent_s, subject = excluded.subject,
      from_key = excluded.from_key, to_key = excluded.to_key, cc_key = excluded.cc_key, is_reply = excluded.is_reply,
      subject_hash = excluded.subject_hash, ids = excluded.ids`;
}
