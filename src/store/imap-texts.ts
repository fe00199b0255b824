/**
 * What is kept of messages for IMAP's SEARCH and PREVIEW. What lacks it is found by comparing two primary keys (`message-walk.ts`):
 * storing a message costs nothing for it.
 */
import { blobDigest, type MessageId, messageId } from "../core/ids.ts";
import { PREFIX_BYTES_MAX } from "../core/mail-text/limits.ts";
import type { ImapTextStore, MadeIndex, Unindexed } from "../core/ports/imap-texts.ts";
import { type Db, jsonText, pgText, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";
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
  readonly prefixes: Buffer;
  readonly keys: string;
}

/**
 * By what a prefix is known again. @param prefix  a column
 * A part of the hash is enough: nobody gains from two prefixes that share one, except that a search leaves out his own mail.
 */
export const prefixKey = (prefix: Fragment): Fragment => sql`substr(sha256(${prefix}), 1, 8)`;

async function load(db: Db, ids: readonly MessageId[]): Promise<readonly Unindexed[]> {
  // Also of copies that are no entries yet. Moved entries keep theirs. What does not stand by itself may be read as part of the header
  // behind it: it is not among them.
  const rows = await db.query<UnindexedRow>`
    select m.message_id, encode(m.blob_digest, 'hex') as digest, m.structure, m.header_bytes,
           coalesce(p.prefixes, '') as prefixes, coalesce(encode(p.keys, 'hex'), '') as keys
    from messages m left join lateral (
      select string_agg(prefix, '') as prefixes, string_agg(${prefixKey(sql`prefix`)}, '') as keys
      from (
        select prefix, sum(octet_length(prefix)) over (order by prefix) as octets
        from (
          select e.prefix from entries e where e.message_id = m.message_id
          union select c.prefix from relay_copies c where c.message_id = m.message_id
          union select h.prefix from holds h where h.open_message_id = m.message_id
        ) every
        where prefix = ''
           or (substr(prefix, 1, 1) not in ('\\x09', '\\x20') and substr(prefix, octet_length(prefix)) = '\\x0a')
      ) summed
      where octets <= ${PREFIX_BYTES_MAX}::int
    ) p on true
    where m.message_id = any(${[...ids]}::uuid[])`;
  return rows.map(row => ({
    messageId: messageId(row.message_id),
    digest: blobDigest(row.digest),
    structure: row.structure,
    headerBytes: row.header_bytes,
    prefixes: row.prefixes,
    prefixKeys: row.keys,
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
    k: text.prefixKeys,
  }));
  // The lock keeps a message from going between the look and the foreign key. Who has one locked removes it, and others in any order:
  // waiting for it could be a deadlock. What is there already is never worse: a row that says
  // "indexed" is relied on from then on (`body-index.ts`).
  await db.run`
    with newer as (
      update imap_text_progress set version = ${version}::smallint, complete_below = null where version < ${version}::smallint
    )
    insert into imap_texts (message_id, version, complete, preview, grams, prefixes)
    select m.message_id, w.v, w.c, w.p, w.g::integer[], decode(w.k, 'hex')
    from json_to_recordset(${jsonText(rows)}::text::json) as w(m uuid, v smallint, c boolean, p text, g text, k text)
    join messages m on m.message_id = w.m
    order by m.message_id for key share of m skip locked
    on conflict (message_id) do update set version = excluded.version, complete = excluded.complete,
      preview = excluded.preview, grams = excluded.grams, prefixes = excluded.prefixes
    where imap_texts.version < excluded.version`;
}
