/**
 * The texts that search looks at. What has none yet is found by comparing two primary keys, so that storing a message costs nothing for
 * search: no row, no index, no trigger. Ids are UUIDv7, so walking up them is walking in order of arrival.
 */
import { blobDigest, type MessageId, messageId } from "../core/ids.ts";
import type { MadeText, SearchTextStore, Stretch, Untexted } from "../core/ports/search-texts.ts";
import { SEARCH_TEXT_VERSION } from "../core/search-text/limits.ts";
import { type Db, jsonText, pgText, sql } from "./db.ts";

/** Of a text that is only a stand-in. */
const NO_VERSION = 0;
/** The lowest and highest UUID. */
const NIL = "00000000-0000-0000-0000-000000000000";
const MAX = "ffffffff-ffff-ffff-ffff-ffffffffffff";

export function createSearchTextStore(db: Db): SearchTextStore {
  return {
    walk: (direction, from, limit) => walk(db, direction, from, limit),
    load: ids => load(db, ids),
    save: texts => save(db, texts),
    async setCompleteBelow(id) {
      await db.run`
        update search_progress set complete_below = ${id}::uuid where complete_below is null or complete_below < ${id}::uuid`;
    },
  };
}

async function walk(
  db: Db,
  direction: "up" | "down",
  from: string | undefined,
  limit: number,
): Promise<Stretch> {
  const stretch =
    direction === "up"
      ? sql`select message_id from messages where message_id > ${from ?? NIL}::uuid order by message_id limit ${limit}`
      : sql`select message_id from messages where message_id < ${from ?? MAX}::uuid order by message_id desc limit ${limit}`;
  const order = direction === "up" ? sql`` : sql`desc`;
  const end = direction === "up" ? sql`desc` : sql``;
  const [row] = await db.query<{ missing: string[]; last: string | null }>`
    with stretch as materialized (${stretch})
    select array(
        select s.message_id from stretch s
        where not exists (
          select 1 from search_texts t where t.message_id = s.message_id and t.version = ${SEARCH_TEXT_VERSION}::smallint
        ) order by s.message_id ${order}
      ) as missing,
      (select message_id from stretch order by message_id ${end} limit 1) as last`;
  return {
    missing: (row?.missing ?? []).map(messageId),
    last: row?.last === null || row === undefined ? undefined : messageId(row.last),
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
  // The lock keeps a message from going between the look and the foreign key.
  await db.run`
    insert into search_texts (message_id, version, outcome, reason, folded, grams)
    select m.message_id, w.v, w.o, w.r, w.f, w.g::integer[]
    from json_to_recordset(${jsonText(rows)}::text::json) as w(m uuid, v smallint, o text, r text, f text, g text)
    join messages m on m.message_id = w.m
    order by m.message_id for key share of m
    on conflict (message_id) do update set version = excluded.version, outcome = excluded.outcome, reason = excluded.reason,
      folded = excluded.folded, grams = excluded.grams`;
}
