/**
 * Which messages of a mailbox may hold a text: those whose grams have all of the text's, those that are not indexed (yet), and, for
 * texts in headers, those whose delivery put something like it in front. One statement; what it names is read by whoever asks.
 */
import { setImmediate } from "node:timers/promises";
import { MairustError } from "../core/errors.ts";
import type { MailboxId } from "../core/ids.ts";
import { gramsOfNeedle } from "../core/mail-text/grams.ts";
import type { BodyIndex, IndexQuery } from "../core/ports/body-index.ts";
import { type Db, pgText, type Queryable, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";

/** A statement that takes longer is worth less than reading the messages. */
const STATEMENT_MS = 15_000;
/** UIDs that come in one piece: a millisecond to take apart. */
const PAGE_UIDS = 4096;
/** Pieces that are taken apart before others have their turn. */
const PAGES_PER_SLICE = 8;

/** @param version  of what the index is made of now: `core/mail-text/limits.ts` */
export function createBodyIndex(db: Db, version: number): BodyIndex {
  return {
    async candidates(mailbox, uids, query, gone) {
      const grams = matchingGrams(query);
      if (grams === undefined || uids.length === 0 || gone.aborted) return undefined;
      try {
        const options = { statementTimeoutMs: STATEMENT_MS };
        const pages = await db.begin(tx => readPages(tx, version, mailbox, uids, query, grams), options);
        return await among(uids, pages);
      } catch (error) {
        if (error instanceof MairustError && error.code === "deadline") return undefined;
        throw error;
      }
    },
  };
}

/** A condition on the index `t`; undefined: the text is too short for one. */
function matchingGrams({ folded, where }: IndexQuery): Fragment | undefined {
  if (where === "text") {
    const [header, body] = [gramsOfNeedle(folded, "header"), gramsOfNeedle(folded, "body")];
    if (header.length === 0) return undefined;
    return sql`(t.grams @> ${[...header]}::integer[] or t.grams @> ${[...body]}::integer[])`;
  }
  const grams = gramsOfNeedle(folded, where);
  return grams.length === 0 ? undefined : sql`t.grams @> ${[...grams]}::integer[]`;
}

/**
 * True of an entry `e` whose prefix may hold the text. Prefixes are lines of ASCII of the form `Name: value`
 * (`delivery/prefix.ts`): whatever is encoded there, or spaced in another way, may hold anything.
 */
function inPrefix({ folded, where, field }: IndexQuery): Fragment {
  if (where === "body") return sql`false`;
  const text = sql`lower(encode(e.prefix, 'escape') collate "C")`;
  const joined = sql`replace(replace(${text}, chr(13), ''), chr(10), '')`;
  const holds = sql`(
    strpos(${joined}, ${pgText(folded)}) > 0 or strpos(${text}, '=?') > 0 or strpos(${text}, chr(92)) > 0
    or strpos(${text}, ':  ') > 0 or strpos(${text}, ':' || chr(9)) > 0 or strpos(${text}, ': ' || chr(9)) > 0
  )`;
  return field === undefined
    ? holds
    : sql`(strpos(chr(10) || ${text}, ${pgText(`\n${field}`)}) > 0 and ${holds})`;
}

interface Page {
  readonly page: number;
  readonly uids: string;
}

function readPages(
  q: Queryable,
  version: number,
  mailbox: MailboxId,
  uids: Uint32Array,
  query: IndexQuery,
  grams: Fragment,
): Promise<readonly Page[]> {
  // Whole and apart: with the mailbox in view the planner would read every message's grams instead of the index.
  return q.query<{ page: number; uids: string }>`
    with hit as materialized (
      select t.message_id from imap_texts t where ${grams} and t.version = ${version}::smallint and t.complete
    )
    select e.uid / ${PAGE_UIDS}::bigint as page, string_agg(e.uid::text, ',' order by e.uid) as uids
    from entries e
    left join hit on hit.message_id = e.message_id
    left join imap_texts made on made.message_id = e.message_id and made.version = ${version}::smallint
    left join imap_texts open on open.message_id = e.message_id and not open.complete
    where e.mailbox_id = ${mailbox} and e.uid between ${uids[0] ?? 0}::bigint and ${uids.at(-1) ?? 0}::bigint
      and (hit.message_id is not null or made.message_id is null or open.message_id is not null or ${inPrefix(query)})
    group by 1`;
}

/** Those of `uids` that a page names. */
async function among(uids: Uint32Array, pages: readonly Page[]): Promise<Uint32Array> {
  const found = new Uint32Array(uids.length);
  let count = 0;
  let at = 0;
  for (const [i, page] of [...pages].sort((a, b) => a.page - b.page).entries()) {
    if (i % PAGES_PER_SLICE === PAGES_PER_SLICE - 1) await setImmediate();
    for (const text of page.uids.split(",")) {
      const uid = Number(text);
      while ((uids[at] ?? uid) < uid) at += 1;
      if (uids[at] !== uid) continue;
      found[count] = uid;
      count += 1;
    }
  }
  return found.subarray(0, count);
}
