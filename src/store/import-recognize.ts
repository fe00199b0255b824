/**
 * Mail of a source that is here by another way: in stage `mirror` the source and the mailbox here were given the same mail. A cheap key
 * (Message-ID; for mail without one its size and date) names the entries that may be it, and `delivery/import-recognize.ts` compares
 * their bytes. An entry stands for one message of a source: what an import brought, or recognised before, is no candidate.
 */
import { type AccountId, blobDigest } from "../core/ids.ts";
import type { ImportCandidate, ImportMessage } from "../core/ports/transfer.ts";
import { type Db, pgText, type Queryable, sql, type Tx } from "./db.ts";
import { mergeIntoEntries } from "./import-flags.ts";
import { normalizeMailboxName } from "./mailbox-names.ts";

/** Entries that one group of messages is compared with. */
const MAX_CANDIDATES = 1000;
/** The same message came to both servers within this time. */
const DATE_SLACK_MS = 86_400_000;
/** Trace fields differ, and a server may end each line by one octet more. */
const SIZE_SLACK_BYTES = 16_384;

interface CandidateRow {
  readonly uid: number;
  readonly message_id_header: string | null;
  readonly digest: string;
  readonly prefix: Uint8Array;
  readonly size_bytes: number;
  readonly internal_date: Date;
}

/** @returns for each message the entries that may be it, lowest UID first */
export async function findCandidates(
  db: Db,
  account: AccountId,
  mailbox: string,
  messages: readonly ImportMessage[],
): Promise<readonly (readonly ImportCandidate[])[]> {
  const ids = messages.flatMap(message => keyOf(message) ?? []);
  const nameless = messages.filter(message => keyOf(message) === null);
  const rows = [
    ...(ids.length === 0
      ? []
      : await select(db, account, mailbox, sql`m.message_id_header = any(${ids}::text[])`)),
    ...(nameless.length === 0 ? [] : await select(db, account, mailbox, likeOneOf(nameless))),
  ];
  return messages.map(message => rows.filter(row => mayBe(message, row)).map(candidateOf));
}

function likeOneOf(messages: readonly ImportMessage[]): ReturnType<typeof sql> {
  const dates = messages.map(({ internalDate }) => internalDate.getTime());
  const from = new Date(Math.min(...dates) - DATE_SLACK_MS);
  const to = new Date(Math.max(...dates) + DATE_SLACK_MS);
  return sql`m.message_id_header is null and e.internal_date between ${from}::timestamptz and ${to}::timestamptz`;
}

function select(
  q: Queryable,
  account: AccountId,
  mailbox: string,
  key: ReturnType<typeof sql>,
): Promise<readonly CandidateRow[]> {
  return q.query<CandidateRow>`
    select e.uid, m.message_id_header, encode(m.blob_digest, 'hex') as digest, e.prefix, e.size_bytes, e.internal_date
    from mailboxes b join entries e on e.mailbox_id = b.id join messages m on m.message_id = e.message_id
    where b.account_id = ${account} and b.name = ${normalizeMailboxName(mailbox)} and ${key}
      and not exists (select 1 from import_messages i where i.mailbox_id = b.id and i.uid = e.uid)
    order by e.uid limit ${MAX_CANDIDATES}`;
}

function mayBe(message: ImportMessage, row: CandidateRow): boolean {
  if (row.message_id_header !== keyOf(message)) return false;
  if (row.message_id_header !== null) return true;
  const { delivery, internalDate } = message;
  const { sizeBytes } = delivery.blob;
  const smaller = Math.min(sizeBytes, row.size_bytes);
  const isNear = Math.abs(row.internal_date.getTime() - internalDate.getTime()) <= DATE_SLACK_MS;
  return isNear && Math.abs(sizeBytes - row.size_bytes) <= SIZE_SLACK_BYTES + smaller;
}

/** As it is stored. */
const keyOf = ({ delivery: { messageIdHeader: id } }: ImportMessage) =>
  id === undefined ? null : pgText(id);

const candidateOf = ({ uid, digest, prefix }: CandidateRow): ImportCandidate => ({
  uid,
  prefix,
  digest: blobDigest(digest),
});

/** Which of these entries are still there, and stand for no message of a source. Under the lock of the mailbox. */
export async function stillFree(tx: Tx, mailbox: number, uids: readonly number[]): Promise<Set<number>> {
  if (uids.length === 0) return new Set();
  const rows = await tx.query<{ uid: number }>`
    select e.uid from entries e where e.mailbox_id = ${mailbox} and e.uid = any(${uids}::bigint[])
      and not exists (select 1 from import_messages i where i.mailbox_id = ${mailbox} and i.uid = e.uid)`;
  return new Set(rows.map(row => row.uid));
}

/**
 * The flags of the source are taken over. A mailbox whose UIDs are the source's keeps that name only while it is true.
 * @returns whether an entry was changed
 */
export async function takeOver(
  tx: Tx,
  mailbox: { readonly id: number; readonly modseq: number; readonly kept: number | undefined },
  recognized: readonly { readonly message: ImportMessage; readonly uid: number }[],
): Promise<boolean> {
  if (recognized.length === 0) return false;
  if (mailbox.kept !== undefined && recognized.some(({ message, uid }) => message.sourceUid !== uid))
    await tx.query`delete from import_kept_uids where mailbox_id = ${mailbox.id}`;
  const before = { system: 0, keywords: [] };
  const changes = recognized.map(({ message, uid }) => ({ uid, before, now: message.flags }));
  return mergeIntoEntries(tx, mailbox.id, mailbox.modseq, changes);
}
