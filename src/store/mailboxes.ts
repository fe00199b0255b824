/** The read side for IMAP: listing, opening, subscriptions, and the rows that FETCH and SEARCH need (message path, step 9). */
import { MairustError } from "../core/errors.ts";
import { type AccountId, blobDigest, type MailboxId, messageId } from "../core/ids.ts";
import {
  FETCH_PAGE,
  FETCH_PAGE_BYTES,
  type MailboxReader,
  type MessageRow,
  type RowFields,
} from "../core/ports/mailboxes.ts";
import { type Db, sql } from "./db.ts";
import type { DbOf } from "./db-share.ts";

import type { MailboxHub } from "./mailbox-hub.ts";
import { normalizeMailboxName } from "./mailbox-names.ts";
import { readInfo, readListing } from "./mailbox-rows.ts";

/** Subscriptions one account may hold. */
const MAX_SUBSCRIPTIONS = 10_000;

export function createMailboxReader(dbOf: DbOf, hub: MailboxHub): MailboxReader {
  return {
    status: async (account, name, wish) =>
      (await readInfo(dbOf(account), account, nameOrNothing(name), wish)) ?? throwNotFound(name),
    list: (account, wish) => readListing(dbOf(account), account, wish),
    open: async (account, name) => (await hub.open(account, nameOrNothing(name))) ?? throwNotFound(name),
    subscriptions: async account => {
      const rows = await dbOf(account).query<{ name: string }>`
        select name from subscriptions where account_id = ${account} order by name limit ${MAX_SUBSCRIPTIONS}`;
      return rows.map(row => row.name);
    },
    subscribe: (account, name, on) => setSubscription(dbOf(account), account, normalizeMailboxName(name), on),
    rows: (mailbox, uids, fields) => readRows(dbOf(hub.ownerOf(mailbox)), mailbox, uids, fields),
  };
}

function throwNotFound(name: string): never {
  throw new MairustError("not_found", `Cannot find mailbox ${JSON.stringify(name)}`, {
    publicText: "no such mailbox",
  });
}

/** A name that could never be created cannot be found either: no reason to fail on it. */
function nameOrNothing(name: string): string {
  try {
    return normalizeMailboxName(name);
  } catch {
    return "";
  }
}

async function setSubscription(db: Db, account: AccountId, name: string, on: boolean): Promise<void> {
  if (!on) {
    await db.query`delete from subscriptions where account_id = ${account} and name = ${name}`;
    return;
  }
  const rows = await db.query`
    insert into subscriptions (account_id, name)
    select ${account}, ${name} where (select count(*) from subscriptions where account_id = ${account}) < ${MAX_SUBSCRIPTIONS}
    on conflict (account_id, name) do update set name = excluded.name
    returning 1`;
  if (rows.length === 0) {
    throw new MairustError(
      "too_many",
      `Cannot subscribe to "${name}": the account has ${MAX_SUBSCRIPTIONS} subscriptions`,
      {
        publicText: "too many subscriptions",
      },
    );
  }
}

const NOTHING = sql``;

interface EntryRow {
  uid: number;
  message_id: string;
  /** Seconds since 1970: a number is read quicker than a date. */
  arrived_s: number;
  size_bytes: number;
  digest: string;
  blob_size: number;
  header_bytes: number;
  /** From here on: when it was asked for. Octets in base64: a third less than in hex, and read in half the time. */
  prefix?: string | null;
  structure?: string | null;
  header?: string | null;
  email_id?: string | null;
  thread_id?: string | null;
  preview?: string | null;
  /** Octets of the columns above, of this row and those before it. */
  so_far: number;
}

async function* readRows(
  db: Db,
  mailbox: MailboxId,
  uids: Uint32Array | readonly number[],
  fields: RowFields,
): AsyncIterable<readonly MessageRow[]> {
  let start = 0;
  // The database reads the next page while this one is sent.
  const begin = () => {
    const end = Math.min(start + FETCH_PAGE, uids.length);
    const rows = start < end ? readPage(db, mailbox, uids.slice(start, end), fields) : undefined;
    // Its failure is told when its turn comes, if that comes.
    rows?.catch(() => undefined);
    return { rows, end };
  };
  for (let page = begin(); page.rows !== undefined; ) {
    const rows = await page.rows;
    const last = rows.at(-1);
    // The page may be full before its UIDs are all there: what is behind its last row comes with the next one.
    const isFull = last !== undefined && last.so_far >= FETCH_PAGE_BYTES;
    if (!isFull) start = page.end;
    else while (start < page.end && (uids[start] ?? 0) <= last.uid) start += 1;
    page = begin();
    yield rows.map(messageRow);
  }
}

/**
 * Columns are chosen by the text of the statement and not by parameters: PostgreSQL would plan it anew each time, which took longer than
 * reading fifty rows. The list of UIDs is read once: as a list alone it may be, for each message of a mailbox that grew since its table
 * was looked at.
 */
function readPage(
  db: Db,
  mailbox: MailboxId,
  uids: Uint32Array | readonly number[],
  fields: RowFields,
): Promise<EntryRow[]> {
  return db.query<EntryRow>`
    select * from (
      select e.uid, e.message_id, date_part('epoch', e.internal_date) as arrived_s, e.size_bytes, encode(g.blob_digest, 'hex') as digest, g.size_bytes as blob_size,
             g.header_bytes
             ${fields.prefix ? sql`, encode(e.prefix, 'base64') as prefix` : NOTHING}
             ${fields.structure ? sql`, encode(g.structure, 'base64') as structure` : NOTHING}
             ${fields.header ? sql`, encode(g.header, 'base64') as header` : NOTHING}
             ${
               fields.objectIds
                 ? sql`, 'M' || left(encode(sha256(g.blob_digest || e.prefix), 'hex'), 32) as email_id,
             'T' || left(encode(sha256(convert_to(
               (select account_id from mailboxes where id = ${mailbox}) || ' ' || g.thread_key, 'UTF8')), 'hex'), 32) as thread_id`
                 : NOTHING
             }
             ${fields.preview ? sql`, (select t.preview from imap_texts t where t.message_id = e.message_id) as preview` : NOTHING},
             o.octets, sum(o.octets) over (order by e.uid rows unbounded preceding) as so_far
      from entries e join messages g on g.message_id = e.message_id
      cross join lateral (
        select 0
             ${fields.prefix ? sql`+ octet_length(e.prefix)` : NOTHING}
             ${fields.structure ? sql`+ octet_length(g.structure)` : NOTHING}
             ${fields.header ? sql`+ coalesce(octet_length(g.header), 0)` : NOTHING} as octets
      ) o
      where e.mailbox_id = ${mailbox} and e.uid = any(array(select unnest(${`{${uids.join(",")}}`}::text::bigint[])))
    ) p where so_far - octets < ${FETCH_PAGE_BYTES}::bigint order by uid`;
}

function messageRow(row: EntryRow): MessageRow {
  return {
    uid: row.uid,
    messageId: messageId(row.message_id),
    internalDate: new Date(Math.round(row.arrived_s * 1000)),
    sizeBytes: row.size_bytes,
    blob: blobDigest(row.digest),
    blobSizeBytes: row.blob_size,
    headerBytes: row.header_bytes,
    ...(row.prefix == null ? {} : { prefix: octets(row.prefix) }),
    ...(row.structure == null ? {} : { structure: octets(row.structure) }),
    ...(row.header === undefined ? {} : { header: row.header === null ? null : octets(row.header) }),
    ...(row.email_id == null ? {} : { emailId: row.email_id, threadId: row.thread_id ?? null }),
    ...(row.preview === undefined ? {} : { preview: row.preview }),
  };
}

const octets = (base64: string) => Buffer.from(base64, "base64");
