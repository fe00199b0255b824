/**
 * Sorting and threading for IMAP (behind step 9 of the message path): PostgreSQL sorts by the keys of `message_keys`, and only UIDs come
 * here, in pages. Messages that have no keys yet get them first. Source: RFC 5256.
 */
import { setImmediate } from "node:timers/promises";
import type { MailboxId } from "../core/ids.ts";
import { messageId } from "../core/ids.ts";
import type { MailboxIdentity } from "../core/mailbox-snapshot.ts";
import { MESSAGE_KEYS_VERSION } from "../core/order/message-keys.ts";
import type { MessageKeyStore } from "../core/ports/message-keys.ts";
import type { MessageOrder, SortCriterion, ThreadRow } from "../core/ports/message-order.ts";
import { type TurnLimits, Turns } from "../platform/turns.ts";
import { type Db, sql } from "./db.ts";
import type { DbOf, OwnerOf } from "./db-share.ts";
import { OrderCache } from "./order-cache.ts";

/** UIDs whose order comes in one piece: a millisecond to take apart. */
const PAGE_UIDS = 4096;
/** Pages of UIDs that are taken apart before others have their turn. */
const PAGES_PER_SLICE = 8;
/** Messages whose thread rows are in memory at a time. */
const THREAD_PAGE = 1024;
/** Messages that are looked at for missing keys in one statement. */
const KEYS_PAGE = 2048;
/** From so many on, and when they are at least a quarter of their range, all messages of the range are sorted, and the order is kept. */
const RANGE_MESSAGES = 256;
const RANGE_SHARE = 4;
/** Sorts of the database at a time, each with a connection, and threads, each with its memory; and those that may wait for it. */
const TURNS: TurnLimits = {
  running: 2,
  waiting: 1000,
  refusal: "Cannot sort messages: too many sorts wait",
  publicText: "too many sorts, try later",
};

type Fragment = ReturnType<typeof sql>;

/** What makes keys, over the database for the work of whoever sorts. */
type KeysIn = (db: Db) => Pick<MessageKeyStore, "make">;

export function createMessageOrder(
  dbOf: DbOf,
  ownerOf: OwnerOf,
  keysIn: KeysIn,
  cache = new OrderCache(),
): MessageOrder {
  return new KeyedOrder(dbOf, ownerOf, keysIn, cache);
}

class KeyedOrder implements MessageOrder {
  readonly #dbOf: DbOf;
  readonly #ownerOf: OwnerOf;
  readonly #keysIn: KeysIn;
  readonly #cache: OrderCache;
  readonly #sortTurns = new Turns(TURNS);
  readonly #threadTurns = new Turns(TURNS);

  constructor(dbOf: DbOf, ownerOf: OwnerOf, keysIn: KeysIn, cache: OrderCache) {
    this.#dbOf = dbOf;
    this.#ownerOf = ownerOf;
    this.#keysIn = keysIn;
    this.#cache = cache;
  }

  async sort(
    mailbox: MailboxIdentity,
    uids: Uint32Array,
    by: readonly SortCriterion[],
    gone: AbortSignal,
  ): Promise<Uint32Array> {
    if (uids.length < 2) return uids;
    const span = spanOf(uids);
    const known = this.#cache.find(mailbox, by, span.first, span.last);
    if (known !== undefined) return pick(known.uids, uids);
    if (!isDense(uids, span)) return (await this.#sorted(mailbox.mailboxId, uidsAre(uids), by, gone)).uids;
    const order = await this.#sorted(mailbox.mailboxId, uidsWithin(span), by, gone);
    if (order.isFinal) this.#cache.add(mailbox, by, { ...span, uids: order.uids });
    return pick(order.uids, uids);
  }

  /** @returns `isFinal`: all of them have their keys */
  async #sorted(mailbox: MailboxId, which: Fragment, by: readonly SortCriterion[], gone: AbortSignal) {
    const owner = this.#ownerOf(mailbox);
    const db = this.#dbOf(owner);
    const sorted = async () => {
      const order = await readOrder(db, mailbox, which, by);
      if (order.unmade === 0) return { uids: order.uids, isFinal: true };
      await this.#makeKeys(db, mailbox, which, gone);
      const again = await readOrder(db, mailbox, which, by);
      return { uids: again.uids, isFinal: again.unmade === 0 };
    };
    return this.#sortTurns.take(sorted, gone, owner);
  }

  async #makeKeys(db: Db, mailbox: MailboxId, which: Fragment, gone: AbortSignal): Promise<void> {
    const keys = this.#keysIn(db);
    let stretch = await readUnmade(db, mailbox, which, 0);
    while (stretch !== undefined) {
      await keys.make(stretch.ids, gone);
      stretch = await readUnmade(db, mailbox, which, stretch.last);
    }
  }

  threads<T>(
    { mailboxId }: MailboxIdentity,
    uids: Uint32Array,
    work: (rows: AsyncIterable<readonly ThreadRow[]>) => Promise<T>,
    gone: AbortSignal,
  ): Promise<T> {
    const owner = this.#ownerOf(mailboxId);
    const threaded = () => work(this.#threadRows(this.#dbOf(owner), mailboxId, uids, gone));
    return this.#threadTurns.take(threaded, gone, owner);
  }

  async *#threadRows(
    db: Db,
    mailboxId: MailboxId,
    uids: Uint32Array,
    gone: AbortSignal,
  ): AsyncIterable<readonly ThreadRow[]> {
    for (let at = 0; at < uids.length; at += THREAD_PAGE) {
      gone.throwIfAborted();
      const which = uidsAre(uids.subarray(at, at + THREAD_PAGE));
      let page = await readThreadPage(db, mailboxId, which);
      if (page.unmade > 0) {
        await this.#makeKeys(db, mailboxId, which, gone);
        page = await readThreadPage(db, mailboxId, which);
      }
      if (page.text !== null) yield page.text.split("\n").map(threadRow);
    }
  }
}

interface Span {
  readonly first: number;
  readonly last: number;
}

function spanOf(uids: Uint32Array): Span {
  return { first: uids[0] ?? 0, last: uids.at(-1) ?? 0 };
}

function isDense(uids: Uint32Array, { first, last }: Span): boolean {
  return uids.length >= RANGE_MESSAGES && uids.length * RANGE_SHARE >= last - first + 1;
}

const uidsWithin = ({ first, last }: Span) => sql`e.uid between ${first}::bigint and ${last}::bigint`;

/** The list is read once: as a list alone it may be, for each message of a mailbox that grew since its table was looked at. */
const uidsAre = (uids: Uint32Array) =>
  sql`e.uid = any(array(select unnest(${`{${uids.join(",")}}`}::text::bigint[])))`;

/** @returns those of `order` that are wanted, which ascend, as they stand in it */
function pick(order: Uint32Array, wanted: Uint32Array): Uint32Array {
  const { first, last } = spanOf(wanted);
  // One bit for each UID of the span would do; where it is wide, the wanted ones are few.
  const isWanted = isDense(wanted, { first, last }) ? marks(wanted, first, last) : new Set(wanted);
  let count = 0;
  const picked = new Uint32Array(Math.min(order.length, wanted.length));
  for (const uid of order) {
    if (isWanted instanceof Set ? !isWanted.has(uid) : isWanted[uid - first] !== 1) continue;
    picked[count] = uid;
    count += 1;
  }
  return picked.subarray(0, count);
}

function marks(uids: Uint32Array, first: number, last: number): Uint8Array {
  const marked = new Uint8Array(last - first + 1);
  for (const uid of uids) marked[uid - first] = 1;
  return marked;
}

/** IMAP knows whole seconds; what the Date field does not tell, the arrival does (RFC 5256 §2.2). */
const ARRIVAL = sql`floor(extract(epoch from e.internal_date))::bigint`;
const SENT = sql`coalesce(k.sent_s, ${ARRIVAL})`;

/** As each key is sorted, and the same in reverse. */
const ORDERS: Readonly<Record<SortCriterion["key"], readonly [up: Fragment, down: Fragment]>> = {
  ARRIVAL: [ARRIVAL, sql`${ARRIVAL} desc`],
  CC: [sql`coalesce(k.cc_key, '')`, sql`coalesce(k.cc_key, '') desc`],
  DATE: [SENT, sql`${SENT} desc`],
  FROM: [sql`coalesce(k.from_key, '')`, sql`coalesce(k.from_key, '') desc`],
  SIZE: [sql`e.size_bytes`, sql`e.size_bytes desc`],
  SUBJECT: [sql`coalesce(k.subject, '')`, sql`coalesce(k.subject, '') desc`],
  TO: [sql`coalesce(k.to_key, '')`, sql`coalesce(k.to_key, '') desc`],
};

/** Of these the message's place in the mailbox tells all. */
const WITHOUT_KEYS: ReadonlySet<SortCriterion["key"]> = new Set(["ARRIVAL", "SIZE"]);

function needKeys(by: readonly SortCriterion[]): boolean {
  return by.some(({ key }) => !WITHOUT_KEYS.has(key));
}

function orderBy(by: readonly SortCriterion[]): Fragment {
  const terms = by.map(({ key, reverse }) => ORDERS[key][reverse ? 1 : 0]);
  return terms.reduceRight((rest, term) => sql`${term}, ${rest}`, sql`e.uid`);
}

/** Keys of an older version are none; a stand-in for what cannot be read is left out as well, and everything in it is empty. */
const JOIN_KEYS = sql`left join message_keys k on k.message_id = e.message_id and k.version = ${MESSAGE_KEYS_VERSION}::smallint`;

/** @returns `unmade`: how many were put by arrival and size alone */
async function readOrder(db: Db, mailbox: MailboxId, which: Fragment, by: readonly SortCriterion[]) {
  const rows = await db.query<{ uids: string; unmade: number }>`
    select string_agg(uid::text, ',' order by n) as uids, count(*) filter (where unmade) as unmade
    from (
      select e.uid, ${needKeys(by) ? sql`k.message_id is null` : sql`false`} as unmade,
             row_number() over (order by ${orderBy(by)}) as n
      from entries e ${needKeys(by) ? JOIN_KEYS : sql``}
      where e.mailbox_id = ${mailbox} and ${which}
    ) sorted group by (n - 1) / ${PAGE_UIDS}::bigint order by min(n)`;
  const order: number[][] = [];
  for (const [i, row] of rows.entries()) {
    if (i % PAGES_PER_SLICE === PAGES_PER_SLICE - 1) await setImmediate();
    order.push(row.uids.split(",").map(Number));
  }
  return { uids: joined(order), unmade: rows.reduce((sum, row) => sum + row.unmade, 0) };
}

function joined(pages: readonly (readonly number[])[]): Uint32Array {
  const all = new Uint32Array(pages.reduce((sum, page) => sum + page.length, 0));
  let at = 0;
  for (const page of pages) {
    all.set(page, at);
    at += page.length;
  }
  return all;
}

/** A stretch of messages is looked at as a whole: else the database might compare all keys for each page. */
async function readUnmade(db: Db, mailbox: MailboxId, which: Fragment, above: number) {
  const [row] = await db.query<{ ids: string[]; last: number | null }>`
    with stretch as materialized (
      select e.uid, e.message_id from entries e
      where e.mailbox_id = ${mailbox} and ${which} and e.uid > ${above}::bigint order by e.uid limit ${KEYS_PAGE}
    )
    select max(uid) as last, array(
      select s.message_id from stretch s where not exists (
        select 1 from message_keys k where k.message_id = s.message_id and k.version = ${MESSAGE_KEYS_VERSION}::smallint
      ) order by s.uid
    ) as ids from stretch`;
  if (row === undefined || row.last === null) return undefined;
  return { ids: row.ids.map(messageId), last: row.last };
}

async function readThreadPage(db: Db, mailbox: MailboxId, which: Fragment) {
  const [row] = await db.query<{ text: string | null; unmade: number }>`
    select string_agg(line, E'\n' order by uid) as text, count(*) filter (where unmade) as unmade from (
      select e.uid, k.message_id is null as unmade,
             e.uid || ' ' || ${SENT} || ' ' || coalesce(k.subject_hash, 0) || case when k.is_reply then ' 1 ' else ' 0 ' end
             || coalesce(array_to_string(k.ids, ' '), '0') as line
      from entries e ${JOIN_KEYS}
      where e.mailbox_id = ${mailbox} and ${which}
    ) lines`;
  return row ?? { text: null, unmade: 0 };
}

function threadRow(line: string): ThreadRow {
  const [uid = 0, sentS = 0, subject = 0, isReply = 0, ...ids] = line.split(" ").map(Number);
  return { uid, sentS, subject, isReply: isReply === 1, ids };
}
