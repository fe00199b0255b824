/**
 * The write side of the store (message path, step 7): all deliveries that wait become one transaction.
 *
 * The transaction is one statement, a call of `store_deliveries` (0001_init.sql): one round trip, and the database takes locks, UIDs,
 * MODSEQs and redelivery keys in one go. A failure means that nothing of the batch was stored; `store_unavailable` alone can mean
 * that nobody knows (the connection went while the answer was on its way), and the redelivery key settles that.
 */
import { toMairustError } from "../core/errors.ts";
import type { AccountId, BlobDigest, MailboxId, MessageId } from "../core/ids.ts";
import { messageId } from "../core/ids.ts";
import type { Log } from "../core/ports/log.ts";
import type { Delivery, DeliveryTarget, MessageStore, TargetResult } from "../core/ports/store.ts";
import { Batcher } from "./batcher.ts";
import { type ConfirmBlob, withRevival } from "./blob-revive.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, isSerializationFailure, sqlstateOf } from "./db.ts";
import {
  insertEvents,
  MAILBOX_MISSING,
  recipientKey,
  storeDeliveries,
  type UnstoredEvents,
} from "./deliver-rows.ts";
import { createMailboxes, normalizeMailboxName } from "./mailbox-names.ts";

/** Deliveries per transaction. */
const MAX_BATCH = 100;
/** Octets of structure, header, prefixes and metadata per transaction: they travel as text in one statement. */
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** How long a batch waits, twice, for an account that somebody holds (its removal, another node); longer makes everybody wait. */
const LOCK_MS = 500;
/** And a delivery that is tried alone, because its batch waited in vain. */
const LOCK_ALONE_MS = 200;
/** Deliveries that may wait for the next transaction: far beyond `lmtp.connections`. */
const MAX_WAITING = 5000;
/** Event batches of messages that were not stored. */
const MAX_WAITING_EVENTS = 10_000;
/** Between two writes of such events: nobody waits for them, and one row alone costs as much as ten together. */
const EVENTS_PAUSE_MS = 50;

export interface StoreOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
  readonly log: Log;
  readonly redeliveryWindowS: () => number;
  /** Asked only for blobs that are being collected when they come again. */
  readonly confirmBlob: ConfirmBlob;
  /** Seconds of one batch's transaction, how many messages it held, and the octets of their blobs. */
  readonly onCommit: (seconds: number, messages: number, bytes: number) => void;
}

/** `finish`: write the events that wait. */
export type FinishableStore = MessageStore & { finish(): Promise<void> };

export function createMessageStore(options: StoreOptions): FinishableStore {
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
      await insertEvents(db, batch);
      return batch.map(() => undefined);
    },
    { maxBatch: MAX_BATCH, maxWaiting: MAX_WAITING_EVENTS, pauseMs: EVENTS_PAUSE_MS },
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
    finish: () => events.finish(),
  };
}

/** Names come normalised into the rows. One that cannot be a mailbox must not hold up mail: it goes to INBOX. */
export function withUsableMailbox(target: DeliveryTarget): DeliveryTarget {
  try {
    return { ...target, mailbox: normalizeMailboxName(target.mailbox) };
  } catch (error) {
    if (target.ifMissing === "fail") throw error;
    return { ...target, mailbox: "INBOX" };
  }
}

function weightOf(delivery: Delivery): number {
  const targets = delivery.targets.reduce(
    (sum, { prefix, metadata }) => sum + prefix.length + weightOfMetadata(metadata),
    0,
  );
  return delivery.structure.length + (delivery.header?.length ?? 0) + targets;
}

/** Plugins may say half a megabyte of each copy; mostly they say nothing. */
function weightOfMetadata(metadata: DeliveryTarget["metadata"]): number {
  return Object.keys(metadata).length === 0 ? 0 : JSON.stringify(metadata).length;
}

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
  lockMs: number,
): Promise<readonly (readonly TargetResult[])[]> {
  const started = performance.now();
  const { db } = options;
  const call = { batch, lockMs, windowS: options.redeliveryWindowS() };
  const digests = batch.map(delivery => delivery.blob.digest);
  const attempt = (makeMissing: boolean) =>
    withRevival(db, options.confirmBlob, digests, () => storeDeliveries(db, { ...call, makeMissing }), true);
  let outcomes: readonly (readonly TargetResult[])[];
  try {
    outcomes = await attempt(true);
  } catch (error) {
    if (sqlstateOf(error) !== MAILBOX_MISSING) throw error;
    // Folders that a hook named and that are not there yet: rare, so it costs round trips of its own.
    await db.begin(tx => createMailboxes(tx, wantedMailboxes(batch)));
    // What could not be made (too many already) goes to INBOX.
    outcomes = await attempt(false);
  }
  afterCommit(options, batch, outcomes, (performance.now() - started) / 1000);
  return outcomes;
}

function wantedMailboxes(batch: readonly Delivery[]) {
  return batch.flatMap(delivery =>
    delivery.targets
      .filter(target => target.ifMissing === "create")
      .map(target => ({ accountId: target.accountId, name: target.mailbox })),
  );
}

/** Nothing here may fail the batch: it is stored. */
function afterCommit(
  options: StoreOptions,
  batch: readonly Delivery[],
  outcomes: readonly (readonly TargetResult[])[],
  seconds: number,
): void {
  try {
    const touched = new Set<MailboxId>();
    let messages = 0;
    let bytes = 0;
    for (const [i, delivery] of batch.entries()) {
      const stored = outcomes[i]?.filter(result => result.kind === "stored") ?? [];
      for (const { mailboxId } of stored) touched.add(mailboxId);
      if (stored.length > 0) messages += 1;
      if (stored.length > 0) bytes += delivery.blob.sizeBytes;
    }
    options.onCommit(seconds, messages, bytes);
    if (touched.size > 0) options.changes.publish([...touched]);
  } catch (error) {
    options.log.error("stored mail not announced", { error: toMairustError(error, "announce stored mail") });
  }
}
