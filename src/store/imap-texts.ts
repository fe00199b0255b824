/**
 * What is kept of messages for IMAP's SEARCH and PREVIEW. What lacks it is found by comparing two primary keys (`message-walk.ts`):
 * storing a message costs nothing for it.
 */
import { blobDigest, type MessageId, messageId } from "../core/ids.ts";
import type { ImapTextStore, MadeIndex, Unindexed } from "../core/ports/imap-texts.ts";
import { type Db, jsonText, pgText, sql } from "./db.ts";
import { walkMessages } from "./message-walk.ts";

/** Of what is only a stand-in. */
const NO_VERSION = 0;

/** @param version  of what is made now: what a newer node made is not made again, and is not searched in either */
export function createImapTextStore(db: Db, version: number): ImapTextStore {
  const hasText = sql`exists (
    select 1 from imap_texts t where t.message_id = s.message_id and t.version >= ${version}::smallint
  )`;
  return {
    walk: (direction, from, limit) => walkMessages(db, hasText, direction, from, limit),
    load: ids => load(db, ids),
    save: texts => save(db, version, texts),
    async setCompleteBelow(id) {
      await db.run`
        update imap_text_progress set complete_below = ${id}::uuid
        where version = ${version}::smallint and (complete_below is null or complete_below < ${id}::uuid)`;
    },
  };
}

interface UnindexedRow {
  readonly message_id: string;
  readonly digest: string;
  readonly structure: Buffer;
  readonly header_bytes: number;
}

async function load(db: Db, ids: readonly MessageId[]): Promise<readonly Unindexed[]> {
  const rows = await db.query<UnindexedRow>`
    select message_id, encode(blob_digest, 'hex') as digest, structure, header_bytes
    from messages where message_id = any(${[...ids]}::uuid[])`;
  return rows.map(row => ({
    messageId: messageId(row.message_id),
    digest: blobDigest(row.digest),
    structure: row.structure,
    headerBytes: row.header_bytes,
  }));
}

async function save(db: Db, version: number, texts: readonly MadeIndex[]): Promise<void> {
  if (texts.length === 0) return;
  const rows = texts.map(text => ({
    m: text.messageId,
    v: text.again ? NO_VERSION : version,
    c: text.complete,
    p: text.preview === undefined ? null : pgText(text.preview),
    g: `{${text.grams.join(",")}}`,
  }));
  // The lock keeps a message from going between the look and the foreign key. Who has one locked removes it, and others in any order:
  // waiting for it could be a deadlock. What is there already is never worse: a row that says
  // "indexed" is relied on from then on (`body-index.ts`).
  await db.run`
    with newer as (
      update imap_text_progress set version = ${version}::smallint, complete_below = null where version < ${version}::smallint
    )
    insert into imap_texts (message_id, version, complete, preview, grams)
    select m.message_id, w.v, w.c, w.p, w.g::integer[]
    from json_to_recordset(${jsonText(rows)}::text::json) as w(m uuid, v smallint, c boolean, p text, g text)
    join messages m on m.message_id = w.m
    order by m.message_id for key share of m skip locked
    on conflict (message_id) do update set version = excluded.version, complete = excluded.complete,
      preview = excluded.preview, grams = excluded.grams
    where imap_texts.version < excluded.version`;
}
