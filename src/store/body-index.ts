/**
 * Which messages of a mailbox may hold a text: those whose grams have all of the text's, those that are not indexed (yet), and, for
 * texts in headers, those whose delivery put something like it in front. One statement; what it names is read by whoever asks.
 *
 * What was indexed stays so, and UIDs keep their messages: up to which UID all of a mailbox is indexed, and what is not, is remembered
 * (`indexed-mailboxes.ts`), so that a search looks at new messages and at what the index names, and not at the whole mailbox.
 */
import { setImmediate } from "node:timers/promises";
import { MairustError } from "../core/errors.ts";
import type { MailboxId } from "../core/ids.ts";
import { gramsOfNeedle } from "../core/mail-text/grams.ts";
import type { BodyIndex, IndexQuery } from "../core/ports/body-index.ts";
import { type TurnLimits, Turns } from "../platform/turns.ts";
import { type Db, pgText, type Queryable, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";
import { IndexedMailboxes, type IndexedUpTo } from "./indexed-mailboxes.ts";

/** A statement that takes longer is worth less than reading the messages. */
const STATEMENT_MS = 15_000;
/** UIDs that come in one piece: a millisecond to take apart. */
const PAGE_UIDS = 4096;
/** Pieces that are taken apart before others have their turn. */
const PAGES_PER_SLICE = 8;

/** Questions at a time, each with a connection for up to {@link STATEMENT_MS}; and those that may wait. */
const TURNS: TurnLimits = {
  running: 2,
  waiting: 1000,
  refusal: "Cannot search messages: too many searches wait",
  publicText: "too many searches, try later",
};

interface Page {
  /** Of what is made now by whoever makes it; another version may have taken rows out of ours. */
  readonly newest: number;
  readonly uidvalidity: number;
  readonly what: "hit" | "open" | "odd" | null;
  readonly uids: string | null;
}

/** @param version  of what the index is made of now: `core/mail-text/limits.ts` */
export function createBodyIndex(db: Db, version: number): BodyIndex {
  const known = new IndexedMailboxes();
  const turns = new Turns(TURNS);
  const read = async (
    mailbox: MailboxId,
    upTo: number,
    query: IndexQuery,
    grams: Fragment,
  ): Promise<Read> => {
    const readFrom = async (from: IndexedUpTo) => {
      const asked = { version, mailbox, upTo, query, grams, known: from };
      return {
        from,
        pages: await db.begin(tx => readPages(tx, asked), { statementTimeoutMs: STATEMENT_MS }),
      };
    };
    const quick = await readFrom(known.of(mailbox));
    const [first] = quick.pages;
    if (quick.from.upTo === 0 || first === undefined) return quick;
    if (first.newest <= version && first.uidvalidity === quick.from.uidValidity) return quick;
    known.forget(mailbox);
    return readFrom(known.of(mailbox));
  };
  return {
    async candidates(mailbox, uids, query, gone) {
      const grams = matchingGrams(query);
      const upTo = uids.at(-1);
      if (grams === undefined || upTo === undefined || gone.aborted) return undefined;
      try {
        const { from, pages } = await turns.take(() => read(mailbox, upTo, query, grams), gone);
        const hits = await uidsOf(pages, "hit");
        const open = await uidsOf(pages, "open");
        const odd = joined(from.odd, await uidsOf(pages, "odd"));
        const [first] = pages;
        if (first !== undefined && first.newest <= version)
          known.learn(mailbox, { uidValidity: first.uidvalidity, upTo, open, odd });
        return among(uids, hits, query.where === "body" ? open : joined(open, odd));
      } catch (error) {
        if (error instanceof MairustError && error.code === "deadline") return undefined;
        throw error;
      }
    },
  };
}

/** What was read, and what was known before. */
interface Read {
  readonly from: IndexedUpTo;
  readonly pages: readonly Page[];
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

/** The prefix of an entry `e`: read so, octets beyond ASCII become two. A NUL is not there. */
const PREFIX = sql`convert_from(e.prefix, 'LATIN1')`;

/** Not lines of ASCII of the form `Name: value` (`delivery/prefix.ts`): encoded, or spaced in another way. It may hold anything. */
const IS_ODD = sql`(
  octet_length(${PREFIX}) <> octet_length(e.prefix) or strpos(${PREFIX}, '=?') > 0
  or strpos(${PREFIX}, ':  ') > 0 or strpos(${PREFIX}, ':' || chr(9)) > 0 or strpos(${PREFIX}, ': ' || chr(9)) > 0
)`;

/** True of an entry `e` whose prefix, when it is not odd, may hold the text. */
function inPrefix({ folded, where, field }: IndexQuery): Fragment {
  if (where === "body") return sql`false`;
  const text = sql`lower(${PREFIX} collate "C")`;
  // Only white space can stand where a line was folded.
  const whole = /.[ \t]/su.test(folded) ? sql`replace(replace(${text}, chr(13), ''), chr(10), '')` : text;
  const holds = sql`strpos(${whole}, ${pgText(folded)}) > 0`;
  return field === undefined
    ? holds
    : sql`(strpos(chr(10) || ${text}, ${pgText(`\n${field}`)}) > 0 and ${holds})`;
}

interface Asked {
  readonly version: number;
  readonly mailbox: MailboxId;
  /** UIDs above do not matter. */
  readonly upTo: number;
  readonly query: IndexQuery;
  readonly grams: Fragment;
  readonly known: IndexedUpTo;
}

/** At least one row for a mailbox that is there. */
function readPages(q: Queryable, asked: Asked): Promise<readonly Page[]> {
  const { version, mailbox, upTo, query, grams, known } = asked;
  const entriesUpTo = sql`e.mailbox_id = ${mailbox} and e.uid <= ${upTo}::bigint`;
  // Hits whole and apart: with the mailbox in view the planner would read every message's grams instead of the index.
  return q.query<Page>`
    with hit as materialized (
      select t.message_id from imap_texts t where ${grams} and t.version = ${version}::smallint and t.complete
    ), fresh as (
      select e.uid, e.message_id, ${IS_ODD} as odd from entries e where ${entriesUpTo} and e.uid > ${known.upTo}::bigint
      union all
      select e.uid, e.message_id, false from entries e
      where ${entriesUpTo} and e.uid <= ${known.upTo}::bigint and e.uid = any(${`{${known.open.join(",")}}`}::text::bigint[])
    ), named as (
      select 'hit' as what, e.uid from hit join entries e on e.message_id = hit.message_id where ${entriesUpTo}
      union all
      select 'hit', e.uid from entries e where ${entriesUpTo} and ${inPrefix(query)}
      union all
      select 'open', fresh.uid from fresh
      left join imap_texts made on made.message_id = fresh.message_id and made.version = ${version}::smallint
      left join imap_texts open on open.message_id = fresh.message_id and not open.complete
      where made.message_id is null or open.message_id is not null
      union all
      select 'odd', fresh.uid from fresh where fresh.odd
    )
    select m.uidvalidity, p.version as newest, pages.what, pages.uids
    from mailboxes m cross join imap_text_progress p left join (
      select what, string_agg(uid::text, ',') as uids from named group by what, uid / ${PAGE_UIDS}::bigint
    ) pages on true
    where m.id = ${mailbox}`;
}

/** @returns ascending, some maybe twice */
async function uidsOf(pages: readonly Page[], what: "hit" | "open" | "odd"): Promise<Uint32Array> {
  const found: number[] = [];
  for (const [i, page] of pages.entries()) {
    if (i % PAGES_PER_SLICE === PAGES_PER_SLICE - 1) await setImmediate();
    if (page.what !== what) continue;
    for (const uid of page.uids?.split(",") ?? []) found.push(Number(uid));
  }
  return Uint32Array.from(found).sort();
}

/** @returns ascending */
function joined(a: Uint32Array, b: Uint32Array): Uint32Array {
  if (b.length === 0) return a;
  const both = new Uint32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both.sort();
}

/** Those of `uids` that are in one of the others. All ascend. */
function among(uids: Uint32Array, hits: Uint32Array, open: Uint32Array): Uint32Array {
  const found = new Uint32Array(uids.length);
  let count = 0;
  let [h, o] = [0, 0];
  for (const uid of uids) {
    while ((hits[h] ?? uid) < uid) h += 1;
    while ((open[o] ?? uid) < uid) o += 1;
    if (hits[h] !== uid && open[o] !== uid) continue;
    found[count] = uid;
    count += 1;
  }
  return found.subarray(0, count);
}
