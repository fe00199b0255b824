/** Rows of relayed mail (message path, step 7): redelivery keys, copies that wait, and what becomes of them. Called by `relay.ts`. */
import { copyChanges } from "../core/copy-changes.ts";
import { accountId, type MessageId, messageId } from "../core/ids.ts";
import { NO_ACCOUNT } from "../core/ports/directory.ts";
import type { HookWish } from "../core/ports/hook-wish.ts";
import type {
  RelayCopy,
  RelayDelivery,
  RelayPlace,
  RelayRecipient,
  RelayResult,
} from "../core/ports/relay-records.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { arrayText, type Db, json, pgText, type Queryable, type Tx } from "./db.ts";
import { eventsInsert, FOLLOW_UP_ATTEMPTS, rcptKey, recipientKey } from "./deliver-rows.ts";
import { enqueueJob } from "./jobs.ts";
import { insertJournal, type JournalRow } from "./journal-rows.ts";

/** How long it waits for an account that somebody holds. */
const LOCK_MS = 2_000;

interface KnownRow {
  readonly queue_id: string;
  readonly recipient: string;
  readonly digest: string;
  readonly message_id: string;
}

export interface Lookup {
  readonly delivery: RelayDelivery;
  readonly recipients: readonly RelayRecipient[];
}

/** @returns for each lookup who is known, by `raw` */
export async function findKnown(
  db: Db,
  lookups: readonly Lookup[],
  windowS: number,
): Promise<readonly ReadonlyMap<string, MessageId>[]> {
  const wanted = lookups.flatMap(({ delivery, recipients }) =>
    recipients.flatMap(({ raw, account }) =>
      [rcptKey(raw), ...(account === NO_ACCOUNT ? [] : [recipientKey(account)])].map(key => ({
        delivery,
        key,
      })),
    ),
  );
  const rows = await db.query<KnownRow>`
    select k.queue_id, k.recipient, encode(k.digest, 'hex') as digest, k.message_id
    from unnest(${wanted.map(w => pgText(w.delivery.queueId))}::text[], ${wanted.map(w => pgText(w.key))}::text[],
                ${wanted.map(w => `\\x${w.delivery.digest}`)}::bytea[]) as w (q, r, d)
    join deliveries k on k.queue_id = w.q and k.recipient = w.r and k.digest = w.d
    where k.created_at > now() - make_interval(secs => ${windowS}::float8)
      -- that some RCPT of an account was relayed says nothing of its others
      and (k.recipient like 'rcpt:%' or k.outcome <> 'relayed')`;
  const known = new Map(
    rows.map(row => [`${row.queue_id}\0${row.digest}\0${row.recipient}`, messageId(row.message_id)]),
  );
  return lookups.map(({ delivery, recipients }) => {
    const find = (key: string) =>
      known.get(`${pgText(delivery.queueId)}\0${delivery.digest}\0${pgText(key)}`);
    return new Map(
      recipients.flatMap(({ raw, account }) => {
        const id = find(rcptKey(raw)) ?? (account === NO_ACCOUNT ? undefined : find(recipientKey(account)));
        return id === undefined ? [] : [[raw, id] as const];
      }),
    );
  });
}

export async function insertCopies(tx: Tx, id: MessageId, copies: readonly RelayCopy[]): Promise<void> {
  const c = <T>(column: (copy: RelayCopy) => T) => copies.map(column);
  await tx.query`
    insert into relay_copies (message_id, kind, account_id, address, domain, mailbox, flags, keywords, internal_date, prefix, metadata,
                              wishes)
    select ${id}::uuid, k, nullif(a, 0), w, d, m, f, s::text[], i, p, e, h
    from unnest(${c(x => x.kind)}::text[], ${c(x => x.target.accountId as number)}::bigint[], ${c(x => pgText(x.address))}::text[],
                ${c(x => x.domain)}::text[], ${c(x => x.target.mailbox)}::text[], ${c(x => x.target.flags.system)}::smallint[],
                ${c(x => arrayText(x.target.flags.keywords.map(pgText)))}::text[], ${c(x => x.target.internalDate)}::timestamptz[],
                ${c(x => x.target.prefix)}::bytea[], ${c(x => json(x.target.metadata))}::jsonb[],
                ${c(x => json(x.target.wishes ?? []))}::jsonb[]) as t (k, a, w, d, m, f, s, i, p, e, h)`;
}

/** What an earlier try of the same delivery left waiting. */
export async function dropEarlier(
  tx: Tx,
  { queueId, digest }: Pick<RelayDelivery, "queueId" | "digest">,
  copies: readonly RelayCopy[],
): Promise<void> {
  if (queueId === "") return;
  await tx.query`
    delete from relay_copies c using messages m
    where m.message_id = c.message_id and c.state = 'pending' and m.queue_id = ${pgText(queueId)}
      and m.blob_digest = decode(${digest}, 'hex') and c.address = any(${copies.map(x => pgText(x.address))}::text[])`;
}

interface CopyRow {
  readonly id: number;
  readonly message_id: string;
  readonly address: string;
  readonly kind: RelayCopy["kind"];
  readonly account_id: number | null;
  readonly flags: number;
  readonly keywords: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly wishes: readonly HookWish[];
}

interface PlaceRow {
  readonly copy_id: number;
  readonly mailbox_id: number;
  readonly mailbox: string;
  readonly uid: number;
}

export interface Recorded {
  readonly places: readonly (readonly RelayPlace[])[];
  /** That got entries. */
  readonly mailboxes: readonly number[];
}

/** All of it in one transaction: keys, entries, jobs, events. */
export async function recordResults(
  tx: Tx,
  results: readonly RelayResult[],
  windowS: number,
): Promise<Recorded> {
  const copies = await copiesOf(tx, results);
  const kept = copies.filter(copy =>
    results.some(r => r.messageId === copy.message_id && r.keep.includes(copy.address)),
  );
  const placed = await settle(
    tx,
    kept.filter(({ kind }) => kind === "mirror"),
    windowS,
  );
  await keepForJobs(
    tx,
    kept.filter(({ kind }) => kind === "hooks"),
  );
  const dropped = copies.filter(copy => !kept.includes(copy)).map(({ id }) => id);
  await tx.query`delete from relay_copies where id = any(${dropped}::bigint[])`;
  await insertJournal(
    tx,
    kept.flatMap(copy => journalOf(copy, placed.get(copy.id))),
  );
  for (const result of results)
    if (result.hasFollowUp)
      await followUp(
        tx,
        result,
        kept.filter(one => one.message_id === result.messageId),
        placed,
      );
  const places = results.map(result =>
    kept.flatMap(copy => {
      const place = placed.get(copy.id);
      return place === undefined || copy.message_id !== result.messageId
        ? []
        : [{ address: copy.address, mailbox: place.mailbox, uid: place.uid }];
    }),
  );
  await insertKeysAndEvents(
    tx,
    results.map((result, i) => ({ ...result, events: [...result.events, ...storedEvents(places[i] ?? [])] })),
    windowS,
  );
  return { places, mailboxes: [...new Set([...placed.values()].map(place => place.mailbox_id))] };
}

async function copiesOf(tx: Tx, results: readonly RelayResult[]): Promise<readonly CopyRow[]> {
  const wanted = results.flatMap(({ messageId, keep, drop }) =>
    [...keep, ...drop].map(address => ({ messageId, address })),
  );
  return tx.query<CopyRow>`
    select c.id, c.message_id, c.address, c.kind, c.account_id, c.flags, c.keywords, c.metadata, c.wishes
    from relay_copies c join unnest(${wanted.map(w => w.messageId)}::uuid[], ${wanted.map(w => pgText(w.address))}::text[]) as w (m, a)
      on c.message_id = w.m and c.address = w.a
    where c.state = 'pending' order by c.id for update of c`;
}

async function settle(
  tx: Tx,
  copies: readonly CopyRow[],
  windowS: number,
): Promise<ReadonlyMap<number, PlaceRow>> {
  if (copies.length === 0) return new Map();
  const rows = await tx.query<PlaceRow>`
    select * from relay_settle(${copies.map(({ id }) => id)}::bigint[], ${LOCK_MS}::int, ${windowS}::float8)`;
  return new Map(rows.map(row => [row.copy_id, row]));
}

async function keepForJobs(tx: Tx, copies: readonly CopyRow[]): Promise<void> {
  if (copies.length > 0)
    await tx.query`update relay_copies set state = 'kept' where id = any(${copies.map(({ id }) => id)}::bigint[])`;
}

/** The job is for these copies alone: what the same message has elsewhere has jobs of its own. */
async function followUp(
  tx: Tx,
  { messageId }: RelayResult,
  kept: readonly CopyRow[],
  placed: ReadonlyMap<number, PlaceRow>,
): Promise<void> {
  const accounts = kept.flatMap(({ id, account_id }) =>
    placed.has(id) && account_id !== null ? [account_id] : [],
  );
  const relayed = kept.filter(({ kind }) => kind === "hooks").map(({ id }) => id);
  if (accounts.length + relayed.length === 0) return;
  const payload = { accounts, relayed };
  await enqueueJob(tx, { kind: "post_receive", payload, maxAttempts: FOLLOW_UP_ATTEMPTS, messageId });
}

function journalOf(copy: CopyRow, place: PlaceRow | undefined): readonly JournalRow[] {
  const { wishes, account_id: account, message_id: id } = copy;
  if (place === undefined || account === null || wishes.length === 0) return [];
  const before = { flags: 0, keywords: [], metadata: {}, mailbox: "INBOX" };
  const after = {
    flags: copy.flags,
    keywords: copy.keywords,
    metadata: copy.metadata,
    mailbox: place.mailbox,
  };
  return copyChanges(wishes, before, after).map(made => ({
    messageId: messageId(id),
    account: accountId(account),
    ...made,
  }));
}

function storedEvents(places: readonly RelayPlace[]): readonly TimelineEvent[] {
  const at = new Date();
  return places.map(({ address, mailbox, uid }) => ({
    at,
    kind: "stored",
    recipient: address,
    data: { mailbox, uid },
  }));
}

/** One statement: what most relayed mail needs is no more than this. */
export async function insertKeysAndEvents(
  db: Queryable,
  results: readonly RelayResult[],
  windowS: number,
): Promise<void> {
  const keys = results.flatMap(({ queueId, digest, messageId, taken }) =>
    queueId === ""
      ? []
      : taken
          .flatMap(({ raw, account }) => [
            rcptKey(raw),
            ...(account === NO_ACCOUNT ? [] : [recipientKey(account)]),
          ])
          .map(key => ({ q: pgText(queueId), r: pgText(key), d: `\\x${digest}`, m: messageId })),
  );
  await db.query`
    with told as (${eventsInsert(results)})
    insert into deliveries as k (queue_id, recipient, digest, message_id, outcome)
    select distinct on (q, r, d) q, r, d, m, 'relayed'
    from unnest(${keys.map(k => k.q)}::text[], ${keys.map(k => k.r)}::text[], ${keys.map(k => k.d)}::bytea[],
                ${keys.map(k => k.m)}::uuid[]) as w (q, r, d, m) order by q, r, d
    on conflict (queue_id, recipient, digest) do update
      set message_id = excluded.message_id, outcome = excluded.outcome, created_at = now()
      where k.created_at <= now() - make_interval(secs => ${windowS}::float8)`;
}

/** Copies whose job has ended, and those that wait for a delivery that does not come again. @returns how many went */
export async function deleteOldCopies(db: Db, windowS: number): Promise<number> {
  return db.run`
    delete from relay_copies c
    where (c.state = 'pending' and c.created_at < now() - make_interval(secs => ${windowS}::float8))
       or (c.state = 'kept' and not exists (
            select from jobs j where j.message_id = c.message_id and j.kind = 'post_receive' and j.state in ('queued', 'running')
          ))`;
}
