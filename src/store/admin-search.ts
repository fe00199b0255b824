/**
 * Search over stored messages: one statement whose conditions are put together from the query's terms; values stay parameters. Words
 * are looked for in the messages' texts first (`search-words.ts`).
 * Newest first by message id (UUIDv7), which is also the cursor: a page never shifts when mail arrives.
 */
import {
  MAX_PLACES,
  type MessageRecord,
  type Page,
  type PageRequest,
  type Place,
} from "../core/admin-ports.ts";
import { parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";
import { blobDigest, messageId } from "../core/ids.ts";
import type { AuthFacts } from "../core/ports/sender-auth.ts";
import { FLAG_SEEN } from "../core/ports/store.ts";
import type { MessageQuery, TextTerms } from "../core/search-grammar.ts";
import { foldSearchText } from "../core/search-text/fold.ts";
import { addressKey } from "./accounts.ts";
import { readDomain } from "./addresses.ts";
import { type Db, type Queryable, sql } from "./db.ts";
import type { Fragment } from "./db-values.ts";
import { normalizeMailboxName } from "./mailbox-names.ts";
import { findByWords } from "./search-words.ts";

interface MessageRow {
  readonly message_id: string;
  readonly subject: string;
  readonly from_text: string;
  readonly message_id_header: string | null;
  readonly queue_id: string;
  readonly mail_from: string;
  readonly size_bytes: number;
  readonly attachments: number;
  readonly thread_key: string | null;
  readonly digest: string;
  readonly received_at: Date;
  readonly sender_auth: AuthFacts | null;
}

interface PlaceRow {
  readonly message_id: string;
  readonly account: string;
  readonly mailbox: string;
  readonly uid: number;
  readonly flags: number;
  readonly keywords: readonly string[];
  readonly internal_date: Date;
  readonly size_bytes: number;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly total: number;
}

const every = (conditions: readonly Fragment[]): Fragment =>
  conditions.reduce((all, one) => sql`${all} and ${one}`, sql`true`);

/** `LIKE` pattern for "contains", of text compared as search does; backslash escapes (PostgreSQL manual §9.7.1). */
const containing = (text: string): string => `%${foldSearchText(text).replace(/[\\%_]/g, "\\$&")}%`;

/** A column as {@link containing} expects it. */
const folded = (column: Fragment): Fragment => sql`lower(normalize(${column}, nfkc))`;

function textConditions(terms: TextTerms, has: (pattern: string) => Fragment): Fragment[] {
  return [
    ...terms.some.map(text => has(containing(text))),
    ...terms.none.map(text => sql`not (${has(containing(text))})`),
  ];
}

/** Terms of which a message can only have one: any of them will do. */
function oneOf(terms: TextTerms, among: (values: string[]) => Fragment): Fragment[] {
  return [
    ...(terms.some.length > 0 ? [among([...terms.some])] : []),
    ...(terms.none.length > 0 ? [sql`not (${among([...terms.none])})`] : []),
  ];
}

/** Message-ID fields are typed with and without angle brackets. */
export function messageIdForms(text: string): string[] {
  const bare = text.replace(/^<|>$/gu, "");
  return [bare, `<${bare}>`];
}

function messageConditions(query: MessageQuery): Fragment[] {
  return [
    ...textConditions(query.subject, p => sql`${folded(sql`m.subject`)} like ${p}`),
    ...textConditions(
      query.from,
      p => sql`(${folded(sql`m.from_text`)} like ${p} or ${folded(sql`m.mail_from`)} like ${p})`,
    ),
    ...oneOf(
      query.messageIdHeader,
      ids => sql`coalesce(m.message_id_header, '') = any(${ids.flatMap(messageIdForms)}::text[])`,
    ),
    ...oneOf(query.queueId, ids => sql`m.queue_id = any(${ids}::text[])`),
    ...(query.receivedFrom === undefined ? [] : [sql`m.received_at >= ${query.receivedFrom}`]),
    ...(query.receivedBefore === undefined ? [] : [sql`m.received_at < ${query.receivedBefore}`]),
    ...(query.minSizeBytes === undefined ? [] : [sql`m.size_bytes >= ${query.minSizeBytes}::bigint`]),
    ...(query.maxSizeBytes === undefined ? [] : [sql`m.size_bytes <= ${query.maxSizeBytes}::bigint`]),
    ...(query.hasAttachment === undefined ? [] : [sql`(m.attachments > 0) = ${query.hasAttachment}`]),
  ];
}

/** Accounts as typed, aliases too. @throws {MairustError} `unknown_account` */
async function accountIds(q: Queryable, addresses: readonly string[]): Promise<number[]> {
  const ids: number[] = [];
  for (const address of addresses) {
    const { domain, localPart } = addressKey(parseMailAddress(address));
    const [row] = await q.query<{ id: number }>`
      select id from accounts where domain = ${domain} and local_part = ${localPart}
      union all select account_id from aliases where domain = ${domain} and local_part = ${localPart}`;
    if (row === undefined) {
      const text = `no such account "${address}"`;
      throw new MairustError("unknown_account", `Cannot search: ${text}`, { publicText: text });
    }
    ids.push(row.id);
  }
  return ids;
}

/** What must hold for one copy: `e` entries, `b` mailboxes, `a` accounts. */
async function placeConditions(q: Queryable, query: MessageQuery): Promise<Fragment[]> {
  const accounts = {
    some: await accountIds(q, query.account.some),
    none: await accountIds(q, query.account.none),
  };
  const folders = (names: readonly string[]) => names.map(name => normalizeMailboxName(name).toLowerCase());
  const domains = (names: readonly string[]) => names.map(readDomain);
  return [
    ...(accounts.some.length > 0 ? [sql`b.account_id = any(${accounts.some}::bigint[])`] : []),
    ...(accounts.none.length > 0 ? [sql`b.account_id <> all(${accounts.none}::bigint[])`] : []),
    ...oneOf(query.folder, names => sql`lower(b.name) = any(${folders(names)}::text[])`),
    ...oneOf(query.domain, names => sql`a.domain = any(${domains(names)}::text[])`),
    ...query.tag.some.map(tag => sql`e.keywords @> ${[tag]}::text[]`),
    ...query.tag.none.map(tag => sql`not (e.keywords @> ${[tag]}::text[])`),
    ...(query.unread === undefined ? [] : [sql`(e.flags & ${FLAG_SEEN}::int = 0) = ${query.unread}`]),
  ];
}

function selectMessages(q: Queryable, rest: Fragment): Promise<readonly MessageRow[]> {
  return q.query<MessageRow>`
    select m.message_id, m.subject, m.from_text, m.message_id_header, m.queue_id, m.mail_from, m.size_bytes, m.attachments,
           m.thread_key, encode(m.blob_digest, 'hex') as digest, m.received_at, sa.facts as sender_auth
    from messages m left join sender_auth sa on sa.message_id = m.message_id ${rest}`;
}

/** @throws {MairustError} `unknown_account`, `invalid_argument` */
export async function searchMessages(
  db: Db,
  query: MessageQuery,
  page: PageRequest,
): Promise<Page<MessageRecord>> {
  const onPlace = await placeConditions(db, query);
  const conditions = every([
    ...messageConditions(query),
    ...(onPlace.length === 0
      ? []
      : [
          sql`exists (
            select 1 from entries e join mailboxes b on b.id = e.mailbox_id join accounts a on a.id = b.account_id
            where e.message_id = m.message_id and ${every(onPlace)})`,
        ]),
  ]);
  const after = page.after === undefined ? undefined : readCursor(page.after);
  const { rows, next } = await findRows(db, query.words, conditions, after, page.limit);
  const places = await selectPlaces(
    db,
    rows.map(row => row.message_id),
    every(onPlace),
  );
  return { items: rows.map(row => toRecord(row, places.get(row.message_id) ?? [])), next };
}

interface Rows {
  readonly rows: readonly MessageRow[];
  readonly next: string | undefined;
}

async function findRows(
  db: Db,
  words: TextTerms,
  conditions: Fragment,
  after: string | undefined,
  limit: number,
): Promise<Rows> {
  if (words.some.length + words.none.length === 0) {
    const older = after === undefined ? sql`true` : sql`m.message_id < ${after}::uuid`;
    const rows = await selectMessages(
      db,
      sql`where ${older} and ${conditions} order by m.message_id desc limit ${limit + 1}`,
    );
    return {
      rows: rows.slice(0, limit),
      next: rows.length > limit ? rows[limit - 1]?.message_id : undefined,
    };
  }
  const { ids, next } = await findByWords(db, {
    some: words.some.map(foldSearchText),
    none: words.none.map(foldSearchText),
    conditions,
    after,
    limit,
  });
  const rows = await selectMessages(
    db,
    sql`where m.message_id = any(${[...ids]}::uuid[]) order by m.message_id desc`,
  );
  return { rows, next };
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/iu;

export function isUuid(text: string): boolean {
  return UUID.test(text);
}

function readCursor(text: string): string {
  if (isUuid(text)) return text;
  const reason = "the cursor is not one of ours";
  throw new MairustError("invalid_argument", `Cannot list messages: ${reason}`, { publicText: reason });
}

/** @returns the message, or undefined when no row has that id */
export async function findMessage(q: Queryable, id: string): Promise<MessageRecord | undefined> {
  const [row] = await selectMessages(q, sql`where m.message_id = ${id}::uuid`);
  if (row === undefined) return undefined;
  const places = await selectPlaces(q, [row.message_id], sql`true`);
  return toRecord(row, places.get(row.message_id) ?? []);
}

/** The first {@link MAX_PLACES} copies of each message, with how many there are. */
async function selectPlaces(
  q: Queryable,
  messages: readonly string[],
  condition: Fragment,
): Promise<ReadonlyMap<string, readonly PlaceRow[]>> {
  const byMessage = new Map<string, PlaceRow[]>();
  if (messages.length === 0) return byMessage;
  const rows = await q.query<PlaceRow>`
    select * from (
      select e.message_id, a.local_part || '@' || a.domain as account, b.name as mailbox, e.uid, e.flags, e.keywords,
             e.internal_date, e.size_bytes, e.metadata,
             row_number() over (partition by e.message_id order by e.mailbox_id, e.uid) as nth,
             count(*) over (partition by e.message_id) as total
      from entries e join mailboxes b on b.id = e.mailbox_id join accounts a on a.id = b.account_id
      where e.message_id = any(${messages}::uuid[]) and ${condition}
    ) places where nth <= ${MAX_PLACES} order by message_id, nth`;
  for (const row of rows) {
    const list = byMessage.get(row.message_id);
    if (list === undefined) byMessage.set(row.message_id, [row]);
    else list.push(row);
  }
  return byMessage;
}

const toPlace = (row: PlaceRow): Place => ({
  account: row.account,
  mailbox: row.mailbox,
  uid: row.uid,
  systemFlags: row.flags,
  keywords: row.keywords,
  internalDate: row.internal_date,
  sizeBytes: row.size_bytes,
  metadata: row.metadata,
});

function toRecord(row: MessageRow, places: readonly PlaceRow[]): MessageRecord {
  return {
    id: messageId(row.message_id),
    subject: row.subject,
    from: row.from_text,
    messageIdHeader: row.message_id_header ?? undefined,
    queueId: row.queue_id,
    mailFrom: row.mail_from,
    sizeBytes: row.size_bytes,
    attachments: row.attachments,
    threadKey: row.thread_key ?? undefined,
    digest: blobDigest(row.digest),
    receivedAt: row.received_at,
    senderAuth: row.sender_auth ?? undefined,
    places: places.map(toPlace),
    placesTotal: places[0]?.total ?? 0,
  };
}
