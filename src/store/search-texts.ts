/**
 * The texts that search looks at. What has none yet is found by comparing two primary keys (`message-walk.ts`), so that storing a message
 * costs nothing for search: no row, no index, no trigger.
 */
import { blobDigest, type MessageId, messageId } from "../core/ids.ts";
import type { MadeText, SearchTextStore, Untexted } from "../core/ports/search-texts.ts";
import { SEARCH_TEXT_VERSION } from "../core/search-text/limits.ts";
import { type Db, jsonText, pgText, sql } from "./db.ts";
import { walkMessages } from "./message-walk.ts";

/** Of a text that is only a stand-in. */
const NO_VERSION = 0;
/** True for a row `s` of messages whose text is there. */
const HAS_TEXT = sql`exists (
  select 1 from search_texts t where t.message_id = s.message_id and t.version = ${SEARCH_TEXT_VERSION}::smallint
)`;

export function createSearchTextStore(db: Db): SearchTextStore {
  return {
    walk: (direction, from, limit) => walkMessages(db, HAS_TEXT, direction, from, limit),
    load: ids => load(db, ids),
    save: texts => save(db, texts),
    async setCompleteBelow(id) {
      await db.run`
        update search_progress set complete_below = ${id}::uuid where complete_below is null or complete_below < ${id}::uuid`;
    },
  };
}

interface UntextedRow {
  readonly message_id: string;
  readonly digest: string;
  readonly structure: Buffer;
  readonly subject: string;
  readonly from_text: string;
  readonly mail_from: string;
}

async function load(db: Db, ids: readonly MessageId[]): Promise<readonly Untexted[]> {
  const rows = await db.query<UntextedRow>`
    select message_id, encode(blob_digest, 'hex') as digest, structure, subject, from_text, mail_from
    from messages where message_id = any(${[...ids]}::uuid[])`;
  return rows.map(row => ({
    messageId: messageId(row.message_id),
    digest: blobDigest(row.digest),
    structure: row.structure,
    known: [row.subject, row.from_text, row.mail_from],
  }));
}

async function save(db: Db, texts: readonly MadeText[]): Promise<void> {
  if (texts.length === 0) return;
  const rows = texts.map(text => ({
    m: text.messageId,
    v: text.again ? NO_VERSION : SEARCH_TEXT_VERSION,
    o: text.outcome,
    r: text.reason === undefined ? null : pgText(text.reason),
    f: text.folded,
    g: `{${text.grams.join(",")}}`,
  }));
  // The lock keeps a message from going between the look and the foreign key. Who has one locked removes it, and others in any order:
  // waiting for it could be a deadlock.
  await db.run`
    insert into search_texts (message_id, version, outcome, reason, folded, grams)
    select m.message_id, w.v, w.o, w.r, w.f, w.g::integer[]
    from json_to_recordset(${jsonText(rows)}::text::json) as w(m uuid, v smallint, o text, r text, f text, g text)
    join messages m on m.message_id = w.m
    order by m.message_id for key share of m skip locked
    on conflict (message_id) do update set version = excluded.version, outcome = excluded.outcome, reason = excluded.reason,
      folded = excluded.folded, grams = excluded.grams`;
}
