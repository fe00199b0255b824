/** Rows of `mailboxes` as IMAP needs them: listed, one by name, or one with what changed in it, each with one statement. */
import { setImmediate } from "node:timers/promises";
import type { AccountId, MailboxId } from "../core/ids.ts";
import { mailboxId } from "../core/ids.ts";
import type { MailboxDelta } from "../core/mailbox-delta.ts";
import type { MailboxInfo, MailboxListing, StatusWish, Vanished } from "../core/ports/mailboxes.ts";
import { type Db, sql } from "./db.ts";

/** UIDs whose lines come in one piece: a millisecond to take apart. */
const PAGE_UIDS = 4096;
/** Pages of expunged UIDs that are taken apart before others have their turn. */
const PAGES_PER_SLICE = 8;

interface MailboxRow {
  id: number;
  name: string;
  special_use: string | null;
  subscribed: boolean;
  uidvalidity: number;
  uidnext: number;
  highest_modseq: number;
  messages: number;
  unseen: number;
  size_bytes: number;
  /** Null: not wished for. */
  deleted?: number | null;
}

/** A name that is only subscribed has no id, and nulls in the columns behind the flag. */
type ListedRow = MailboxRow | (Pick<MailboxRow, "name" | "subscribed"> & { id: null });

/** Mailboxes with INBOX first, and what is subscribed, in one consistent view. */
export async function readListing(db: Db, account: AccountId, wish?: StatusWish): Promise<MailboxListing> {
  const rows = await db.query<ListedRow>`
    select m.id, coalesce(m.name, s.name) as name, m.special_use, s.name is not null as subscribed, m.uidvalidity, m.uidnext,
           m.highest_modseq, m.messages, m.unseen, m.size_bytes, ${deletedColumn(wish)}
    from (select * from mailboxes where account_id = ${account}) m
    full join (select name from subscriptions where account_id = ${account}) s on s.name = m.name
    order by coalesce(m.name, s.name) <> 'INBOX', coalesce(m.name, s.name)`;
  return {
    mailboxes: rows.flatMap(row => (row.id === null ? [] : [infoOf(row)])),
    subscriptions: rows.flatMap(row => (row.subscribed ? [row.name] : [])),
  };
}

export async function readInfo(
  db: Db,
  account: AccountId,
  name: string,
  wish?: StatusWish,
): Promise<MailboxInfo | undefined> {
  const [row] = await db.query<MailboxRow>`
    select m.id, m.name, m.special_use, s.name is not null as subscribed, m.uidvalidity, m.uidnext, m.highest_modseq,
           m.messages, m.unseen, m.size_bytes, ${deletedColumn(wish)}
    from mailboxes m left join subscriptions s on s.account_id = m.account_id and s.name = m.name
    where m.account_id = ${account} and m.name = ${name}`;
  return row === undefined ? undefined : infoOf(row);
}

/** Counted in an index of its own. */
function deletedColumn(wish: StatusWish | undefined) {
  return wish?.deleted === true
    ? sql`(select count(*) from entries e where e.mailbox_id = m.id and e.flags & 8 <> 0) as deleted`
    : sql`null::bigint as deleted`;
}

function infoOf(row: MailboxRow): MailboxInfo {
  return {
    id: mailboxId(row.id),
    name: row.name,
    specialUse: row.special_use ?? undefined,
    subscribed: row.subscribed,
    uidValidity: row.uidvalidity,
    uidNext: row.uidnext,
    highestModseq: row.highest_modseq,
    messages: row.messages,
    unseen: row.unseen,
    sizeBytes: row.size_bytes,
    ...(row.deleted == null ? {} : { deleted: row.deleted }),
  };
}

/** A row that was read, and whose it is. */
export interface MailboxRead {
  readonly account: AccountId;
  readonly info: MailboxInfo;
}

export interface MailboxState extends MailboxRead {
  /** Undefined: the log of expunges does not reach back to the MODSEQ asked for. */
  readonly delta: MailboxDelta | undefined;
}

type OwnedRow = MailboxRow & { account_id: AccountId; expunged_floor: number };
type StateRow = OwnedRow & ({ what: "lines" | "gone"; page: number; text: string } | { what: null });

const ownedColumns = sql`m.account_id, m.id, m.name, m.special_use, s.name is not null as subscribed, m.uidvalidity, m.uidnext,
  m.highest_modseq, m.messages, m.unseen, m.size_bytes, m.expunged_floor`;

/** A mailbox without its rows: PostgreSQL finds it without planning anything, for a tenth of what {@link readState} costs. */
export async function readMailbox(db: Db, id: MailboxId): Promise<MailboxRead | undefined> {
  const [row] = await db.query<OwnedRow>`
    select ${ownedColumns} from mailboxes m left join subscriptions s on s.account_id = m.account_id and s.name = m.name
    where m.id = ${id}`;
  return row === undefined ? undefined : { account: row.account_id, info: infoOf(row) };
}

/**
 * A mailbox and its rows above a MODSEQ: one statement, one consistent view. For a first read (`since` 0) the expunge log does
 * not matter. The text comes in pages: in one piece, a million lines would hold up everybody while they are taken apart.
 */
export async function readState(
  db: Db,
  which: { readonly id: MailboxId } | { readonly account: AccountId; readonly name: string },
  since: number,
): Promise<MailboxState | undefined> {
  const where =
    "id" in which ? sql`m.id = ${which.id}` : sql`m.account_id = ${which.account} and m.name = ${which.name}`;
  const rows = await db.query<StateRow>`
    select ${ownedColumns}, p.what, p.page, p.text
    from mailboxes m left join subscriptions s on s.account_id = m.account_id and s.name = m.name
    left join lateral (${since === 0 ? allPages() : changedPages(since)}) p on true
    where ${where}`;
  const [row] = rows;
  if (row === undefined) return undefined;
  const isWhole = since === 0 || since >= row.expunged_floor;
  const delta = isWhole ? await deltaOf(row, rows) : undefined;
  return { account: row.account_id, info: infoOf(row), delta };
}

const line = () =>
  sql`uid || ' ' || modseq || ' ' || flags || case when keywords = '{}' then '' else ' ' || array_to_string(keywords, ' ') end`;

/**
 * Page by page along the primary key: nothing is sorted, and the first pages are on their way while the last ones are read. Pages
 * without a message are passed over: imported UIDs may be far apart.
 */
const allPages = () => sql`
  select 'lines' as what, page, text from (
    with recursive pages (page) as (
      select min(uid) / ${PAGE_UIDS}::bigint from entries where mailbox_id = m.id
      union all
      select (select min(uid) / ${PAGE_UIDS}::bigint from entries where mailbox_id = m.id and uid >= (page + 1) * ${PAGE_UIDS}::bigint)
      from pages where page is not null
    ) select page from pages where page is not null
  ) existing cross join lateral (
    select string_agg(e.line, E'\n') as text from (
      select ${line()} as line from entries
      where mailbox_id = m.id and uid >= page * ${PAGE_UIDS}::bigint and uid < (page + 1) * ${PAGE_UIDS}::bigint order by uid
    ) e
  ) t`;

/** What changed since a MODSEQ; nothing when the log does not reach back so far. */
const changedPages = (since: number) => sql`
  select 'lines' as what, uid / ${PAGE_UIDS}::bigint as page, string_agg(${line()}, E'\n' order by uid) as text from entries
  where mailbox_id = m.id and modseq > ${since}::bigint and ${hasNews(since)} group by 2
  union all
  select 'gone', uid / ${PAGE_UIDS}::bigint, string_agg(uid::text, ',') from expunged
  where mailbox_id = m.id and modseq > ${since}::bigint and ${hasNews(since)} group by 2`;

/** Decided before any of its rows is looked for. */
const hasNews = (since: number) =>
  sql`m.highest_modseq > ${since}::bigint and m.expunged_floor <= ${since}::bigint`;

async function deltaOf(row: OwnedRow, rows: readonly StateRow[]): Promise<MailboxDelta> {
  const lines = textsOf(rows, "lines");
  const expunged = await numbersOf(textsOf(rows, "gone"));
  return { uidNext: row.uidnext, highestModseq: row.highest_modseq, lines, expunged };
}

/** @param pages  numbers with commas */
async function numbersOf(pages: readonly string[]): Promise<Uint32Array> {
  const numbers: number[] = [];
  for (const [i, page] of pages.entries()) {
    if (i % PAGES_PER_SLICE === PAGES_PER_SLICE - 1) await setImmediate();
    for (const number of page.split(",")) numbers.push(Number(number));
  }
  return Uint32Array.from(numbers);
}

/** By rising page: no order is asked of the database, which would hold all of them back until the last one is there. */
function textsOf(rows: readonly StateRow[], what: "lines" | "gone"): readonly string[] {
  const pages = rows.flatMap(row => (row.what === what ? [row] : []));
  return pages.sort((a, b) => a.page - b.page).map(({ text }) => text);
}

/** One statement, so that the floor and the log are of one moment. In pages, as the lines of {@link readState}. */
export async function readVanished(db: Db, id: MailboxId, since: number, until: number): Promise<Vanished> {
  const rows = await db.query<{ floor: number; text: string | null }>`
    select m.expunged_floor as floor, p.text
    from mailboxes m left join (
      select uid / ${PAGE_UIDS}::bigint as page, string_agg(uid::text, ',' order by uid) as text from expunged
      where mailbox_id = ${id} and modseq > ${since}::bigint and modseq <= ${until}::bigint group by 1
    ) p on true
    where m.id = ${id} order by p.page`;
  const [row] = rows;
  const uids = await numbersOf(rows.flatMap(({ text }) => (text === null ? [] : [text])));
  return { complete: row !== undefined && row.floor <= since, uids };
}
