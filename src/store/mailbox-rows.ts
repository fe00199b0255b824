/** Rows of `mailboxes` as IMAP needs them: listed, one by name, or one with what changed in it, each with one statement. */
import type { AccountId, MailboxId } from "../core/ids.ts";
import { mailboxId } from "../core/ids.ts";
import type { MailboxDelta } from "../core/mailbox-delta.ts";
import type { MailboxInfo, MailboxListing, StatusWish, Vanished } from "../core/ports/mailboxes.ts";
import { type Db, sql } from "./db.ts";

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

export interface MailboxState {
  readonly account: AccountId;
  readonly info: MailboxInfo;
  readonly delta: MailboxDelta;
}

/**
 * A mailbox and its rows above a MODSEQ: one statement, one consistent view. For a first read (`since` 0) the expunge log does
 * not matter.
 */
export async function readState(
  db: Db,
  which: { readonly id: MailboxId } | { readonly account: AccountId; readonly name: string },
  since: number,
): Promise<MailboxState | undefined> {
  const where =
    "id" in which ? sql`m.id = ${which.id}` : sql`m.account_id = ${which.account} and m.name = ${which.name}`;
  const [row] = await db.query<
    MailboxRow & { account_id: AccountId; lines: string | null; expunged: string | null }
  >`
    select m.account_id, m.id, m.name, m.special_use, s.name is not null as subscribed, m.uidvalidity, m.uidnext, m.highest_modseq,
           m.messages, m.unseen, m.size_bytes,
      case when m.highest_modseq > ${since}::bigint then (
        select string_agg(e.line, E'\n') from (
          select uid || ' ' || modseq || ' ' || flags || case when keywords = '{}' then '' else ' ' || array_to_string(keywords, ' ') end as line
          from entries where mailbox_id = m.id and modseq > ${since}::bigint order by uid
        ) e
      ) end as lines,
      case when m.highest_modseq > ${since}::bigint and ${since}::bigint > 0 then (
        select string_agg(x.uid::text, ',') from expunged x where x.mailbox_id = m.id and x.modseq > ${since}::bigint
      ) end as expunged
    from mailboxes m left join subscriptions s on s.account_id = m.account_id and s.name = m.name
    where ${where}`;
  if (row === undefined) return undefined;
  const delta = {
    uidNext: row.uidnext,
    highestModseq: row.highest_modseq,
    lines: row.lines === null ? [] : [row.lines],
    expunged: row.expunged === null ? [] : row.expunged.split(",").map(Number),
  };
  return { account: row.account_id, info: infoOf(row), delta };
}

/** One statement, so that the floor and the log are of one moment. */
export async function readVanished(db: Db, id: MailboxId, since: number, until: number): Promise<Vanished> {
  const [row] = await db.query<{ floor: number; uids: string | null }>`
    select m.expunged_floor as floor, (
        select string_agg(x.uid::text, ',' order by x.uid) from expunged x
        where x.mailbox_id = m.id and x.modseq > ${since}::bigint and x.modseq <= ${until}::bigint
      ) as uids
    from mailboxes m where m.id = ${id}`;
  const uids = row === undefined || row.uids === null ? [] : row.uids.split(",").map(Number);
  return { complete: row !== undefined && row.floor <= since, uids: Uint32Array.from(uids) };
}
