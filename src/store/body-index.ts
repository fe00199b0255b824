/**
 * Which messages of a mailbox may hold a text: those whose grams have all of the text's, and those that are not indexed (yet) or got
 * something else in front later. One statement; what it names is read by whoever asks.
 *
 * What was indexed stays so, and UIDs keep their messages: up to which UID all of a mailbox is indexed, and what is not, is remembered
 * (`indexed-mailboxes.ts`), so that a search looks at new messages and at what the index names, and not at the whole mailbox.
 */
import { setImmediate } from "node:timers/promises";
import { MairustError } from "../core/errors.ts";
import type { AccountId, MailboxId } from "../core/ids.ts";
import { gramsOfNeedle } from "../core/mail-text/grams.ts";
import type { BodyIndex, IndexQuery } from "../core/ports/body-index.ts";
import { type TurnLimits, Turns } from "../platform/turns.ts";
import { type Queryable, sql } from "./db.ts";
import type { DbOf, OwnerOf } from "./db-share.ts";
import type { Fragment } from "./db-values.ts";
import { prefixKey } from "./imap-texts.ts";
import { IndexedMailboxes, type IndexedUpTo } from "./indexed-mailboxes.ts";

/** A statement that takes longer is worth less than reading the messages. */
const STATEMENT_MS = 15_000;
/** Messages of all mailboxes together that the index may name; or as many as are asked about, when that is more. */
const HITS_MAX = 10_000;
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
  /** Messages that the index names, of all mailboxes; one too many is as good as all. */
  readonly hits: number;
  readonly what: "hit" | "open" | null;
  readonly uids: string | null;
}

/** @param version  of what the index is made of now: `core/mail-text/limits.ts` @param hitsMax  only tests have another */
export function createBodyIndex(
  dbOf: DbOf,
  ownerOf: OwnerOf,
  version: number,
  hitsMax = HITS_MAX,
): BodyIndex {
  const known = new IndexedMailboxes();
  const turns = new Turns(TURNS);
  const inTime = <T>(asked: Asked, work: (tx: Queryable) => Promise<T>) =>
    dbOf(asked.owner).begin(work, { statementTimeoutMs: STATEMENT_MS });
  const read = async (asked: Asked): Promise<readonly Page[]> => {
    const { mailbox } = asked;
    const readFrom = (from: IndexedUpTo) => inTime(asked, tx => readPages(tx, asked, from));
    const from = known.of(mailbox);
    const quick = await readFrom(from);
    const [first] = quick;
    if (from.upTo === 0 || first === undefined) return quick;
    if (first.newest <= version && first.uidvalidity === from.uidValidity) return quick;
    known.forget(mailbox);
    return readFrom(known.of(mailbox));
  };
  const readAll = async (asked: Asked) => {
    const pages = await read(asked);
    const [first] = pages;
    const isWhole = first === undefined || first.hits <= asked.hitsMax;
    return { first, pages, hitPages: isWhole ? pages : await inTime(asked, tx => readEach(tx, asked)) };
  };
  return {
    async candidates(mailbox, uids, query, gone) {
      const grams = matchingGrams(query);
      const upTo = uids.at(-1);
      if (grams === undefined || upTo === undefined || gone.aborted) return undefined;
      try {
        const owner = ownerOf(mailbox);
        const asked = { version, mailbox, owner, upTo, grams, hitsMax: Math.max(hitsMax, uids.length) };
        const { first, pages, hitPages } = await turns.take(() => readAll(asked), gone, owner);
        const hits = await uidsOf(hitPages, "hit");
        const open = await uidsOf(pages, "open");
        if (first !== undefined && first.newest <= version)
          known.learn(mailbox, { uidValidity: first.uidvalidity, upTo, open });
        return among(uids, hits, open);
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

interface Asked {
  readonly version: number;
  readonly mailbox: MailboxId;
  readonly owner: AccountId | undefined;
  /** UIDs above do not matter. */
  readonly upTo: number;
  readonly grams: Fragment;
  readonly hitsMax: number;
}

const entriesUpTo = ({ mailbox, upTo }: Asked): Fragment =>
  sql`e.mailbox_id = ${mailbox} and e.uid <= ${upTo}::bigint`;

/** At least one row for a mailbox that is there. */
function readPages(q: Queryable, asked: Asked, known: IndexedUpTo): Promise<readonly Page[]> {
  const { version, mailbox, grams, hitsMax } = asked;
  // Hits whole and apart: with the mailbox in view the planner would read every message's grams instead of the index.
  return q.query<Page>`
    with hit as materialized (
      select t.message_id from imap_texts t where ${grams} and t.version = ${version}::smallint and t.complete
      limit ${hitsMax + 1}::bigint
    ), fresh as (
      select e.uid, e.message_id, e.prefix from entries e where ${entriesUpTo(asked)} and e.uid > ${known.upTo}::bigint
      union all
      select e.uid, e.message_id, e.prefix from entries e
      where ${entriesUpTo(asked)} and e.uid <= ${known.upTo}::bigint and e.uid = any(${`{${known.open.join(",")}}`}::text::bigint[])
    ), named as (
      select 'hit' as what, e.uid from hit join entries e on e.message_id = hit.message_id where ${entriesUpTo(asked)}
      union all
      select 'open', fresh.uid from fresh
      left join imap_texts t on t.message_id = fresh.message_id and t.version = ${version}::smallint and t.complete
      where t.message_id is null or position(${prefixKey(sql`fresh.prefix`)} in t.prefixes) = 0
    )
    select m.uidvalidity, p.version as newest, (select count(*)::int from hit) as hits, pages.what, pages.uids
    from mailboxes m cross join imap_text_progress p left join (
      select what, string_agg(uid::text, ',') as uids from named group by what, uid / ${PAGE_UIDS}::bigint
    ) pages on true
    where m.id = ${mailbox}`;
}

/** The hits, when the index names more than the mailbox can have: each of its own messages is compared, without the index. */
function readEach(q: Queryable, asked: Asked): Promise<readonly Pick<Page, "what" | "uids">[]> {
  return q.query<Pick<Page, "what" | "uids">>`
    select 'hit' as what, string_agg(e.uid::text, ',') as uids
    from entries e join imap_texts t on t.message_id = e.message_id
    where ${entriesUpTo(asked)} and t.version = ${asked.version}::smallint and t.complete
      and coalesce(${asked.grams}, true) -- not what an index is looked up by
    group by e.uid / ${PAGE_UIDS}::bigint`;
}

/** @returns ascending, some maybe twice */
async function uidsOf(
  pages: readonly Pick<Page, "what" | "uids">[],
  what: "hit" | "open",
): Promise<Uint32Array> {
  const found: number[] = [];
  for (const [i, page] of pages.entries()) {
    if (i % PAGES_PER_SLICE === PAGES_PER_SLICE - 1) await setImmediate();
    if (page.what !== what) continue;
    for (const uid of page.uids?.split(",") ?? []) found.push(Number(uid));
  }
  return Uint32Array.from(found).sort();
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
