/** A stored message with those who have a copy, as jobs need it (message path, step 8). Reading only. */
import type { ClientFacts } from "../core/envelope.ts";
import { type AccountId, accountId, blobDigest, type MessageId, messageId } from "../core/ids.ts";
import type { Stage } from "../core/ports/directory.ts";
import type { StoredCopy, StoredMessage } from "../core/ports/message-changes.ts";
import type { AuthFacts } from "../core/ports/sender-auth.ts";
import type { Db } from "./db.ts";

interface StoredRow {
  readonly queue_id: string;
  readonly mail_from: string;
  readonly received_at: Date;
  readonly digest: string;
  readonly size_bytes: number;
  readonly structure: Buffer;
  readonly header: Buffer | null;
  readonly header_bytes: number;
  readonly thread_key: string | null;
  readonly received: Readonly<Record<string, unknown>> | null;
  readonly sender_auth: AuthFacts | null;
}

export async function findStored(db: Db, id: MessageId): Promise<StoredMessage | undefined> {
  const [row] = await db.query<StoredRow>`
    select queue_id, mail_from, received_at, encode(blob_digest, 'hex') as digest, size_bytes, structure, header, header_bytes,
           thread_key, (
             select x.data from events e, jsonb_to_recordset(e.list) as x(kind text, data jsonb)
             where e.message_id = m.message_id and x.kind = 'received' order by e.id limit 1
           ) as received,
           (select facts from sender_auth s where s.message_id = m.message_id) as sender_auth
    from messages m where message_id = ${id}::uuid`;
  if (row === undefined) return undefined;
  return {
    messageId: id,
    queueId: row.queue_id,
    mailFrom: row.mail_from,
    receivedAt: row.received_at,
    digest: blobDigest(row.digest),
    sizeBytes: row.size_bytes,
    structure: row.structure,
    header: row.header ?? undefined,
    headerBytes: row.header_bytes,
    threadKey: row.thread_key ?? undefined,
    client: clientOf(row.received ?? {}),
    ...(row.sender_auth === null ? {} : { senderAuth: row.sender_auth }),
    copies: [...(await copiesOf(db, id)), ...(await relayedCopiesOf(db, id))],
  };
}

/** The client stands in the message's first event. */
function clientOf(received: Readonly<Record<string, unknown>>): ClientFacts {
  const { client_ip: address, client_name: name, helo } = received;
  return {
    ...(typeof address === "string" ? { address } : {}),
    ...(typeof name === "string" ? { name } : {}),
    ...(typeof helo === "string" ? { helo } : {}),
  };
}

interface CopyRow {
  readonly id: number;
  readonly address: string;
  readonly domain: string;
  readonly stage: Stage;
  readonly keywords: readonly string[];
}

async function copiesOf(db: Db, id: MessageId): Promise<readonly StoredCopy[]> {
  const rows = await db.query<CopyRow>`
    select a.id, a.local_part || '@' || a.domain as address, a.domain, coalesce(a.stage, d.stage) as stage,
           coalesce(array_agg(distinct k.word) filter (where k.word is not null), '{}') as keywords
    from entries e join mailboxes b on b.id = e.mailbox_id join accounts a on a.id = b.account_id
      join domains d on d.name = a.domain left join lateral unnest(e.keywords) as k(word) on true
    where e.message_id = ${id}::uuid
    group by a.id, d.name order by a.id`;
  return rows.map(({ id: account, ...copy }) => ({ account: accountId(account), ...copy }));
}

async function relayedCopiesOf(db: Db, id: MessageId): Promise<readonly StoredCopy[]> {
  const rows = await db.query<CopyRow & { readonly relayed: number }>`
    select c.id as relayed, coalesce(c.account_id, 0) as id, c.address, c.domain, 'hooks' as stage, c.keywords
    from relay_copies c where c.message_id = ${id}::uuid and c.state = 'kept' order by c.id`;
  return rows.map(({ id: account, ...copy }) => ({ account: accountId(account), ...copy }));
}

export async function dropRelayed(db: Db, copies: readonly number[]): Promise<void> {
  await db.run`delete from relay_copies where id = any(${copies}::bigint[]) and state = 'kept'`;
}

export async function accountsOf(db: Db, id: MessageId): Promise<readonly AccountId[]> {
  const rows = await db.query<{ id: number }>`
    select distinct b.account_id as id from entries e join mailboxes b on b.id = e.mailbox_id
    where e.message_id = ${id}::uuid order by id`;
  return rows.map(row => accountId(row.id));
}

export async function findByQueueId(
  db: Db,
  queueId: string,
  since: Date,
  limit: number,
): Promise<readonly MessageId[]> {
  if (queueId === "") return [];
  const rows = await db.query<{ message_id: string }>`
    select message_id from messages where queue_id = ${queueId} and queue_id <> '' and received_at >= ${since}::timestamptz
    order by received_at, message_id limit ${limit}`;
  return rows.map(row => messageId(row.message_id));
}
