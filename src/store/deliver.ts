/**
 * The write side of the store (message path, step 7): all deliveries that wait become one transaction, one statement per table.
 *
 * Locks are taken in one order, accounts by id and then mailboxes by id, so two nodes never deadlock; UIDs and MODSEQs are
 * taken under the mailbox lock. A redelivery is settled by the primary key of `deliveries`; because the account is locked first,
 * two transactions never wait for each other's keys. A failure means that nothing of the batch was stored.
 */
import { MairustError, toMairustError } from "../core/errors.ts";
import type { AccountId, BlobDigest, MailboxId, MessageId } from "../core/ids.ts";
import { mailboxId, messageId } from "../core/ids.ts";
import type { Log } from "../core/ports/log.ts";
import type { Delivery, DeliveryTarget, MessageStore, TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { Batcher } from "./batcher.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, isSerializationFailure, jsonText, type Tx } from "./db.ts";
import { insertDelivered, insertEvents, type PlacedTarget } from "./deliver-insert.ts";
import { createMailboxes, normalizeMailboxName } from "./mailbox-names.ts";

/** Deliveries per transaction. */
const MAX_BATCH = 100;
/** Octets of structure, header and prefixes per transaction: they travel as text in one statement. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** How long a batch waits, twice, for an account that somebody holds (its removal, another node); longer makes everybody wait. */
const LOCK_MS = 500;
/** And a delivery that is tried alone, because its batch waited in vain. */
const LOCK_ALONE_MS = 200;
/** Deliveries that may wait for the next transaction: far beyond `lmtp.connections`. */
const MAX_WAITING = 5000;
/** Event batches of messages that were not stored. */
const MAX_WAITING_EVENTS = 10_000;

export interface StoreOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
  readonly log: Log;
  readonly redeliveryWindowS: () => number;
  /** Seconds of one batch's transaction, how many messages it held, and the octets of their blobs. */
  readonly onCommit: (seconds: number, messages: number, bytes: number) => void;
}

interface LockedMailbox {
  readonly id: MailboxId;
  readonly name: string;
  uidNext: number;
  modseq: number;
}

interface UnstoredEvents {
  readonly messageId: MessageId;
  readonly queueId: string;
  readonly events: readonly TimelineEvent[];
}

export function createMessageStore(options: StoreOptions): MessageStore {
  const { db, log } = options;
  const batcher = new Batcher<Delivery, readonly TargetResult[]>(
    (batch, alone) => storeBatch(options, batch, alone ? LOCK_ALONE_MS : LOCK_MS),
    {
      maxBatch: MAX_BATCH,
      maxWaiting: MAX_WAITING,
      weigh: weightOf,
      maxWeight: MAX_BATCH_BYTES,
      isPassing: isSerializationFailure,
    },
  );
  const events = new Batcher<UnstoredEvents, void>(
    async batch => {
      await db.begin(tx => insertEvents(tx, batch));
      return batch.map(() => undefined);
    },
    { maxBatch: MAX_BATCH, maxWaiting: MAX_WAITING_EVENTS },
  );
  return {
    deliver: delivery => batcher.add({ ...delivery, targets: delivery.targets.map(withUsableMailbox) }),
    alreadyDelivered: (queueId, digest, accounts) =>
      alreadyDelivered(db, queueId, digest, accounts, options.redeliveryWindowS()),
    recordEvents(id, queueId, list) {
      events.add({ messageId: id, queueId, events: list }).catch(error => {
        log.error("timeline events lost", {
          queue_id: queueId,
          id,
          error: error instanceof Error ? error : String(error),
        });
      });
    },
  };
}

/** Names come normalised into the rows. One that cannot be a mailbox must not hold up mail: it goes to INBOX. */
function withUsableMailbox(target: DeliveryTarget): DeliveryTarget {
  try {
    return { ...target, mailbox: normalizeMailboxName(target.mailbox) };
  } catch (error) {
    if (target.ifMissing === "fail") throw error;
    return { ...target, mailbox: "INBOX" };
  }
}

function weightOf(delivery: Delivery): number {
  const prefixes = delivery.targets.reduce((sum, target) => sum + target.prefix.length, 0);
  return delivery.structure.length + (delivery.header?.length ?? 0) + prefixes;
}

/** The recipient's part of a redelivery key. By id: an account that was removed and made again is another one. */
const recipientKey = (account: AccountId) => `account:${account}`;

async function alreadyDelivered(
  db: Db,
  queueId: string,
  digest: BlobDigest,
  accounts: readonly AccountId[],
  windowS: number,
): Promise<ReadonlyMap<AccountId, MessageId>> {
  if (queueId === "") return new Map();
  const byKey = new Map(accounts.map(account => [recipientKey(account), account]));
  const rows = await db.query<{ recipient: string; message_id: string }>`
    select recipient, message_id from deliveries
    where queue_id = ${queueId} and recipient = any(${[...byKey.keys()]}::text[]) and digest = decode(${digest}, 'hex')
      and created_at > now() - make_interval(secs => ${windowS}::float8)`;
  return new Map(
    rows.flatMap(row => {
      const account = byKey.get(row.recipient);
      return account === undefined ? [] : [[account, messageId(row.message_id)] as const];
    }),
  );
}

async function storeBatch(
  options: StoreOptions,
  batch: readonly Delivery[],
  lockTimeoutMs: number,
): Promise<readonly (readonly TargetResult[])[]> {
  const started = performance.now();
  const { outcomes, placed } = await options.db.begin(
    async tx => {
      const targets = batch.flatMap(delivery => delivery.targets.map(target => ({ delivery, target })));
      const places = await lockPlaces(tx, targets);
      // A statement of its own: its snapshot must be younger than the locks, or it would miss what their last holder claimed.
      const keys = await claimDeliveries(tx, targets, options.redeliveryWindowS());
      await addMissingMailboxes(tx, targets, places);
      const placer = new Placer(places, keys);
      const results = batch.map(delivery => delivery.targets.map(target => placer.place(delivery, target)));
      await insertDelivered(tx, batch, placer.placed, results);
      await forgetDeliveries(tx, targets, results.flat());
      return { outcomes: results, placed: placer.placed };
    },
    { lockTimeoutMs },
  );
  afterCommit(options, placed, (performance.now() - started) / 1000);
  return outcomes;
}

/** Nothing here may fail the batch: it is stored. */
function afterCommit(options: StoreOptions, placed: readonly PlacedTarget[], seconds: number): void {
  try {
    const messages = new Map(placed.map(({ delivery }) => [delivery.messageId, delivery.blob.sizeBytes]));
    const bytes = [...messages.values()].reduce((sum, size) => sum + size, 0);
    options.onCommit(seconds, messages.size, bytes);
    const touched = [...new Set(placed.map(one => one.mailboxId))];
    if (touched.length > 0) options.changes.publish(touched);
  } catch (error) {
    options.log.error("stored mail not announced", { error: toMairustError(error, "announce stored mail") });
  }
}

type Target = { readonly delivery: Delivery; readonly target: DeliveryTarget };

interface LockedAccount {
  usedBytes: number;
  /** 0: none. */
  readonly quotaBytes: number;
}

interface LockedPlaces {
  readonly accounts: Map<number, LockedAccount>;
  readonly mailboxes: Map<string, LockedMailbox>;
}

const mailboxKey = (account: number, name: string) => `${account}/${name}`;

/** Accounts and mailboxes, locked by account id and then mailbox id; the account's lock also orders redelivery keys between nodes. */
async function lockPlaces(tx: Tx, targets: readonly Target[]): Promise<LockedPlaces> {
  const wanted = new Map<string, { a: number; n: string }>();
  for (const { target } of targets) {
    // INBOX always exists: with it every account that is there gives a row.
    for (const name of [target.mailbox, "INBOX"])
      wanted.set(mailboxKey(target.accountId, name), { a: target.accountId, n: name });
  }
  const rows = await tx.query<{
    account_id: number;
    used_bytes: number;
    quota_bytes: number;
    id: number;
    name: string;
    uidnext: number;
    highest_modseq: number;
  }>`
    select a.id as account_id, a.used_bytes, coalesce(a.quota_bytes, d.quota_bytes) as quota_bytes, m.id, m.name, m.uidnext, m.highest_modseq
    from json_to_recordset(${jsonText([...wanted.values()])}::text::json) as w(a bigint, n text)
    join accounts a on a.id = w.a
    join domains d on d.name = a.domain
    join mailboxes m on m.account_id = a.id and m.name = w.n
    order by a.id, m.id for no key update of a, m`;
  return {
    accounts: new Map(
      rows.map(row => [row.account_id, { usedBytes: row.used_bytes, quotaBytes: row.quota_bytes }]),
    ),
    mailboxes: new Map(
      rows.map(row => [
        mailboxKey(row.account_id, row.name),
        { id: mailboxId(row.id), name: row.name, uidNext: row.uidnext, modseq: row.highest_modseq },
      ]),
    ),
  };
}

/** Folders that a hook named and that are not there yet. Rare, so it costs round trips of its own. */
async function addMissingMailboxes(
  tx: Tx,
  targets: readonly Target[],
  { accounts, mailboxes }: LockedPlaces,
): Promise<void> {
  const missing = targets
    .map(t => t.target)
    .filter(
      t =>
        t.ifMissing === "create" &&
        accounts.has(t.accountId) &&
        !mailboxes.has(mailboxKey(t.accountId, t.mailbox)),
    );
  if (missing.length === 0) return;
  await createMailboxes(
    tx,
    missing.map(t => ({ accountId: t.accountId, name: t.mailbox })),
  );
  const locked = await lockPlaces(tx, targets);
  for (const [key, mailbox] of locked.mailboxes) mailboxes.set(key, mailbox);
}

const deliveryKey = (d: Delivery, t: DeliveryTarget) =>
  `${d.queueId}\0${recipientKey(t.accountId)}\0${d.blob.digest}`;

/** Which of these deliveries were stored before: key → the message they were stored as. The others are claimed by this transaction. */
async function claimDeliveries(
  tx: Tx,
  targets: readonly Target[],
  windowS: number,
): Promise<Map<string, MessageId>> {
  const keyed = targets.filter(t => t.target.exactlyOnce && t.delivery.queueId !== "");
  if (keyed.length === 0) return new Map();
  // A key past the window no longer counts: queue ids come again (Postfix without long ids).
  const rows = await tx.query<{ queue_id: string; recipient: string; digest: string; message_id: string }>`
    with wanted as (
      select o, q, r, decode(d, 'hex') as d, m
      from json_to_recordset(${JSON.stringify(
        keyed.map(({ delivery, target }, o) => ({
          o,
          q: delivery.queueId,
          r: recipientKey(target.accountId),
          d: delivery.blob.digest,
          m: delivery.messageId,
        })),
      )}::text::json) as w(o int, q text, r text, d text, m uuid)
    ), claimed as (
      insert into deliveries as k (queue_id, recipient, digest, message_id)
      select distinct on (q, r, d) q, r, d, m from wanted order by q, r, d, o
      on conflict (queue_id, recipient, digest) do update set message_id = excluded.message_id, created_at = now()
        where k.created_at <= now() - make_interval(secs => ${windowS}::float8)
      returning queue_id, recipient, digest, message_id
    )
    select queue_id, recipient, encode(digest, 'hex') as digest, message_id from claimed
    union all
    select k.queue_id, k.recipient, encode(k.digest, 'hex'), k.message_id
    from wanted w join deliveries k on k.queue_id = w.q and k.recipient = w.r and k.digest = w.d
    where not exists (
      select 1 from claimed c where c.queue_id = k.queue_id and c.recipient = k.recipient and c.digest = k.digest
    )`;
  return new Map(
    rows.map(row => [`${row.queue_id}\0${row.recipient}\0${row.digest}`, messageId(row.message_id)]),
  );
}

/** A target that was claimed and then not stored must not look delivered next time. `outcomes` belong to `targets`, in order. */
async function forgetDeliveries(
  tx: Tx,
  targets: readonly Target[],
  outcomes: readonly TargetResult[],
): Promise<void> {
  const refused = targets.filter(
    (_, i) => outcomes[i]?.kind === "over_quota" || outcomes[i]?.kind === "gone",
  );
  if (refused.length === 0) return;
  const rows = refused.map(({ delivery, target }) => ({
    q: delivery.queueId,
    r: recipientKey(target.accountId),
    m: delivery.messageId,
  }));
  await tx.query`
    delete from deliveries k using json_to_recordset(${JSON.stringify(rows)}::text::json) as w(q text, r text, m uuid)
    where k.queue_id = w.q and k.recipient = w.r and k.message_id = w.m`;
}

/** Gives each target of a batch its place, under the locks. Order counts: what one takes of a quota the next does not have. */
class Placer {
  readonly placed: PlacedTarget[] = [];
  readonly #places: LockedPlaces;
  readonly #keys: ReadonlyMap<string, MessageId>;
  /** What became of the message that claimed a key in this batch. */
  readonly #owners = new Map<string, TargetResult>();

  constructor(places: LockedPlaces, keys: ReadonlyMap<string, MessageId>) {
    this.#places = places;
    this.#keys = keys;
  }

  place(delivery: Delivery, target: DeliveryTarget): TargetResult {
    if (!target.exactlyOnce || delivery.queueId === "") return this.#find(delivery, target);
    const key = deliveryKey(delivery, target);
    const owner = this.#keys.get(key);
    if (owner === undefined)
      throw new MairustError("internal", "Cannot claim a delivery: its key is not there");
    if (owner === delivery.messageId) {
      const result = this.#find(delivery, target);
      this.#owners.set(key, result);
      return result;
    }
    const ownersResult = this.#owners.get(key);
    // The same delivery twice in one batch, and the first was not stored: then the second is not "already stored" either.
    if (ownersResult !== undefined && ownersResult.kind !== "stored") return ownersResult;
    return { kind: "duplicate", messageId: owner };
  }

  #find(delivery: Delivery, target: DeliveryTarget): TargetResult {
    const { accounts, mailboxes } = this.#places;
    const account = accounts.get(target.accountId);
    const mailbox =
      mailboxes.get(mailboxKey(target.accountId, target.mailbox)) ??
      (target.ifMissing === "fail" ? undefined : mailboxes.get(mailboxKey(target.accountId, "INBOX")));
    if (account === undefined || mailbox === undefined) return { kind: "gone" };
    const size = delivery.blob.sizeBytes + target.prefix.length;
    if (account.quotaBytes > 0 && account.usedBytes + size > account.quotaBytes)
      return { kind: "over_quota" };
    account.usedBytes += size;
    const uid = mailbox.uidNext++;
    const modseq = ++mailbox.modseq;
    this.placed.push({ delivery, target, mailboxId: mailbox.id, mailbox: mailbox.name, uid, modseq });
    return { kind: "stored", mailboxId: mailbox.id, mailbox: mailbox.name, uid };
  }
}
