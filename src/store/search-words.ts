/**
 * Words of a search over the texts of messages, newest first, at bounded cost.
 *
 * The newest messages are compared one by one: that fills a page for common words, and finds what the index does not have yet. Then the
 * index names those that can contain the words, and each is checked on its text. What the index cannot help with (one or two letters,
 * only negated words) goes on one by one. Each request looks at so many messages and no more: then it answers with what it found and a
 * cursor to go on from, so a page may be short and not be the last.
 *
 * A message without a text yet is compared by what its delivery decoded: subject and From.
 */
import { queryGrams } from "../core/search-text/grams.ts";
import { type Db, type Queryable, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";

/** Messages compared one by one in one statement. */
const WALK = 2_000;
/** Such statements per request when the index cannot help. */
const MAX_WALKS = 10;
/** Messages that the index named and that are checked, per request. */
const MAX_CANDIDATES = 20_000;
/** One statement may take this long. */
const STATEMENT_MS = 15_000;

const NIL = "00000000-0000-0000-0000-000000000000";
const MAX = "ffffffff-ffff-ffff-ffff-ffffffffffff";

export interface WordSearch {
  /** Folded; all must be in the text. */
  readonly some: readonly string[];
  /** Folded; none may be in it. */
  readonly none: readonly string[];
  /** What else must hold for `m`, a row of messages. */
  readonly conditions: Fragment;
  /** Only ids below. */
  readonly after: string | undefined;
  readonly limit: number;
}

export interface WordHits {
  /** Newest first, at most `limit`. */
  readonly ids: readonly string[];
  /** Where to go on; undefined: there are no more. */
  readonly next: string | undefined;
}

interface Looked {
  /** One more than asked for when there are more. */
  readonly ids: string[];
  /** How many were looked at, and the lowest of them. */
  readonly seen: number;
  readonly last: string | null;
}

/** @throws {MairustError} `deadline`, `store_unavailable` */
export async function findByWords(db: Db, search: WordSearch): Promise<WordHits> {
  const { limit } = search;
  const grams = [...new Set(search.some.flatMap(queryGrams))];
  const found: string[] = [];
  let after = search.after ?? MAX;
  for (let i = 0; i < (grams.length > 0 ? 1 : MAX_WALKS); i++) {
    const { ids, seen, last } = await bounded(db, tx => walk(tx, search, after, limit + 1 - found.length));
    found.push(...ids);
    if (found.length > limit) return { ids: found.slice(0, limit), next: found[limit - 1] };
    if (seen < WALK || last === null) return { ids: found, next: undefined };
    after = last;
  }
  if (grams.length === 0) return { ids: found, next: after };
  const rest = await bounded(db, tx => lookUp(tx, search, grams, after, limit + 1 - found.length));
  found.push(...rest.ids);
  if (found.length > limit) return { ids: found.slice(0, limit), next: found[limit - 1] };
  return { ids: found, next: rest.seen < MAX_CANDIDATES ? undefined : (rest.last ?? undefined) };
}

function bounded(db: Db, work: (q: Queryable) => Promise<Looked>): Promise<Looked> {
  return db.begin(work, { statementTimeoutMs: STATEMENT_MS });
}

/** `LIKE` pattern for "contains"; backslash escapes (PostgreSQL manual §9.7.1). */
const containing = (text: string): string => `%${text.replace(/[\\%_]/g, "\\$&")}%`;

/** On `m` and `t`, a text or nothing. */
function textConditions({ some, none }: WordSearch): Fragment {
  const has = (text: string) => {
    const pattern = containing(text);
    return sql`coalesce(t.folded like ${pattern}, lower(normalize(m.subject || E'\n' || m.from_text, nfkc)) like ${pattern})`;
  };
  const all = [...some.map(has), ...none.map(text => sql`not ${has(text)}`)];
  return all.reduce((sum, one) => sql`${sum} and ${one}`, sql`true`);
}

async function walk(q: Queryable, search: WordSearch, after: string, wanted: number): Promise<Looked> {
  const near = sql`
    select m.message_id from messages m where ${search.conditions} and m.message_id < ${after}::uuid
    order by m.message_id desc limit ${WALK}`;
  return check(q, near, textConditions(search), wanted);
}

async function lookUp(
  q: Queryable,
  search: WordSearch,
  grams: readonly number[],
  after: string,
  wanted: number,
): Promise<Looked> {
  // Both lists are made whole and apart: with the order in view the planner would read every text instead of the index.
  const near = sql`
    with matching as materialized (
      select t.message_id from search_texts t where t.grams @> ${grams}::integer[]
    ), untexted as materialized (
      select m.message_id from messages m
      where m.message_id < ${after}::uuid
        and m.message_id >= coalesce((select complete_below from search_progress), ${NIL}::uuid)
        and not exists (select 1 from search_texts t where t.message_id = m.message_id)
      order by m.message_id desc limit ${MAX_CANDIDATES}
    )
    select message_id from (
      select message_id from matching where message_id < ${after}::uuid union all select message_id from untexted
    ) named order by message_id desc limit ${MAX_CANDIDATES}`;
  return check(q, near, sql`${search.conditions} and ${textConditions(search)}`, wanted);
}

/** Compare the messages that `near` names, newest first, until `wanted` are found. */
async function check(q: Queryable, near: Fragment, conditions: Fragment, wanted: number): Promise<Looked> {
  const [row] = await q.query<{ ids: string[]; seen: number; last: string | null }>`
    with near as materialized (${near}), found as (
      select n.message_id from (select message_id from near order by message_id desc) n
      cross join lateral (
        select from messages m left join search_texts t on t.message_id = m.message_id
        where m.message_id = n.message_id and ${conditions}
      ) matches
      order by n.message_id desc limit ${wanted}
    )
    select array(select message_id from found order by message_id desc) as ids, (select count(*) from near) as seen,
      (select message_id from near order by message_id limit 1) as last`;
  return row ?? { ids: [], seen: 0, last: null };
}
