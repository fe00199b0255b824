/**
 * What is known of relayed mail (message path, step 7): in the database, and in the local journal (`relay-journal.ts`) what the database
 * does not know, or not yet.
 *
 * What the next hop took is in one of the two, durable, before the MTA is answered. With the database away the journal takes it,
 * and `replay` brings it in later. Between the next hop's answer and that record lies the one window in which a crash makes a
 * message be relayed twice; the journal's open relays tell of it.
 */
import { MairustError, toMairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import { mailboxId } from "../core/ids.ts";
import type { HeldMessage } from "../core/ports/holds.ts";
import type { Log } from "../core/ports/log.ts";
import type {
  RelayCopy,
  RelayDelivery,
  RelayKnown,
  RelayPlace,
  RelayRecipient,
  RelayRecords,
  RelayResult,
} from "../core/ports/relay-records.ts";
import { Batcher } from "./batcher.ts";
import { type ConfirmBlob, withRevival } from "./blob-revive.ts";
import type { MailboxChanges } from "./changes.ts";
import { type Db, isSerializationFailure, pgText, type Tx } from "./db.ts";
import { withUsableMailbox } from "./deliver.ts";
import { putBlob, putMessage } from "./holds.ts";
import { createMailboxes } from "./mailbox-names.ts";
import { refuseOldPut } from "./put-age.ts";
import type { RelayJournal } from "./relay-journal.ts";
import {
  deleteOldCopies,
  dropEarlier,
  findKnown,
  insertCopies,
  insertKeysAndEvents,
  type Lookup,
  recordResults,
} from "./relay-rows.ts";

const MAX_BATCH = 100;
/** Far beyond `lmtp.connections`. */
const MAX_WAITING = 5_000;
/** How long a copy waits for an account that somebody holds. */
const LOCK_MS = 2_000;

export interface RelayRecordsOptions {
  readonly db: Db;
  readonly changes: MailboxChanges;
  readonly journal: RelayJournal;
  readonly log: Log;
  readonly redeliveryWindowS: () => number;
  readonly confirmBlob: ConfirmBlob;
}

export type KeptRelayRecords = RelayRecords & {
  /** Bring into the database what the journal has. Never rejects. */
  replay(): Promise<void>;
  /** Delete copies whose time is over. @throws {MairustError} `store_unavailable` */
  housekeeping(): Promise<void>;
};

export function createRelayRecords(options: RelayRecordsOptions): KeptRelayRecords {
  return new StoredRelayRecords(options);
}

class StoredRelayRecords implements KeptRelayRecords {
  readonly #options: RelayRecordsOptions;
  readonly #lookups: Batcher<Lookup, ReadonlyMap<string, MessageId>>;
  readonly #records: Batcher<RelayResult, readonly RelayPlace[]>;

  constructor(options: RelayRecordsOptions) {
    const { db, redeliveryWindowS } = options;
    this.#options = options;
    const limits = { maxBatch: MAX_BATCH, maxWaiting: MAX_WAITING, isPassing: isSerializationFailure };
    this.#lookups = new Batcher(batch => findKnown(db, batch, redeliveryWindowS()), limits);
    this.#records = new Batcher(batch => this.#write(batch), limits);
  }

  async known(delivery: RelayDelivery, recipients: readonly RelayRecipient[]): Promise<RelayKnown> {
    const { journal, log } = this.#options;
    if (delivery.queueId === "" || recipients.length === 0) return { done: new Map(), maybe: new Set() };
    const local = journal.takenOf(delivery);
    const maybe = journal.openOf(delivery);
    try {
      const stored = await this.#lookups.add({ delivery, recipients });
      return { done: new Map([...stored, ...local]), maybe };
    } catch (error) {
      const failure = toMairustError(error, "look for an earlier delivery");
      if (failure.code !== "store_unavailable") throw failure;
      log.warn("database away: earlier deliveries are known from the journal alone", {
        queue_id: delivery.queueId,
      });
      return { done: new Map([...journal.doneOf(delivery), ...local]), maybe };
    }
  }

  async prepare(message: HeldMessage, copies: readonly RelayCopy[]): Promise<void> {
    const { db, confirmBlob } = this.#options;
    refuseOldPut(message.blob);
    const usable = copies.map(copy => ({ ...copy, target: withUsableMailbox(copy.target) }));
    const made = usable
      .filter(
        ({ kind, target }) =>
          kind === "mirror" && target.ifMissing === "create" && target.mailbox !== "INBOX",
      )
      .map(({ target }) => ({ accountId: target.accountId, name: target.mailbox }));
    if (made.length > 0) await db.begin(tx => createMailboxes(tx, made));
    const attempt = () => db.begin(tx => prepareAll(tx, message, usable), { lockTimeoutMs: LOCK_MS });
    await withRevival(db, confirmBlob, [message.blob.digest], attempt, false);
  }

  sending(delivery: RelayDelivery, recipients: readonly string[]): string {
    return this.#options.journal.sent(delivery, recipients);
  }

  notSent(relay: string): void {
    this.#options.journal.over(relay);
  }

  unknown(relay: string, recipients: readonly string[]): void {
    this.#options.journal.over(relay, recipients);
  }

  takenAgain(delivery: RelayDelivery, recipients: readonly string[]): readonly string[] {
    const { journal, log } = this.#options;
    try {
      return journal.settled(delivery, recipients);
    } catch (error) {
      // They stay open, and are told when the mail comes once more.
      log.warn("what was open of relayed mail stays so", {
        queue_id: delivery.queueId,
        id: delivery.messageId,
        error: toMairustError(error, "write the journal of relayed mail"),
      });
      return [];
    }
  }

  async drop({ messageId }: RelayDelivery, addresses: readonly string[]): Promise<void> {
    await this.#options.db.run`
      delete from relay_copies where message_id = ${messageId}::uuid and state = 'pending'
        and address = any(${addresses.map(pgText)}::text[])`;
  }

  async record(result: RelayResult): Promise<readonly RelayPlace[]> {
    const { journal, log } = this.#options;
    let places: readonly RelayPlace[] = [];
    try {
      places = await this.#records.add(result);
    } catch (error) {
      const failure = toMairustError(error, "record what was relayed");
      await this.#journalTaken(result);
      log.warn("relayed mail recorded in the journal alone", {
        queue_id: result.queueId,
        id: result.messageId,
        error: failure,
      });
    }
    const taken = result.taken.map(({ raw }) => raw);
    journal.over(result.relay, result.unknown, taken);
    return places;
  }

  async #journalTaken(result: RelayResult): Promise<void> {
    const { journal } = this.#options;
    try {
      await journal.taken(result);
    } catch (error) {
      journal.forgotten(result.relay);
      throw error;
    }
  }

  async replay(): Promise<void> {
    const { journal, log } = this.#options;
    for (const [id, { result }] of journal.waiting()) {
      try {
        await this.#load(result);
        journal.loaded(id);
      } catch (error) {
        // The next turn goes on here.
        log.warn("journal of relayed mail not loaded", {
          error: toMairustError(error, "load the journal of relayed mail"),
        });
        return;
      }
    }
  }

  async housekeeping(): Promise<void> {
    const { db, redeliveryWindowS } = this.#options;
    await deleteOldCopies(db, redeliveryWindowS());
  }

  /** What cannot be stored beside it must not keep the record itself out for good. */
  async #load(result: RelayResult): Promise<void> {
    try {
      await this.#records.add(result);
    } catch (error) {
      const failure = toMairustError(error, "record what was relayed");
      if (failure.code === "store_unavailable") throw failure;
      this.#options.log.error("copies of relayed mail lost", {
        queue_id: result.queueId,
        id: result.messageId,
        error: failure,
      });
      await this.#records.add({ ...result, keep: [], drop: [], hasFollowUp: false });
    }
  }

  async #write(batch: readonly RelayResult[]): Promise<readonly (readonly RelayPlace[])[]> {
    const { db, changes, redeliveryWindowS } = this.#options;
    const windowS = redeliveryWindowS();
    if (batch.every(({ keep, drop }) => keep.length + drop.length === 0)) {
      await insertKeysAndEvents(db, batch, windowS);
      return batch.map(() => []);
    }
    const { places, mailboxes } = await db.begin(tx => recordResults(tx, batch, windowS));
    if (mailboxes.length > 0) changes.publish(mailboxes.map(mailboxId));
    return places;
  }
}

async function prepareAll(tx: Tx, message: HeldMessage, copies: readonly RelayCopy[]): Promise<void> {
  const ids = [...new Set(copies.map(({ target }) => target.accountId as number))].filter(id => id !== 0);
  const rows =
    await tx.query`select id from accounts where id = any(${ids}::bigint[]) order by id for key share`;
  // The next try gets its answer at RCPT.
  if (rows.length < ids.length)
    throw new MairustError("store_unavailable", "Cannot keep a copy of relayed mail: an account is gone");
  await putBlob(tx, message);
  await putMessage(tx, message);
  await dropEarlier(tx, { queueId: message.queueId, digest: message.blob.digest }, copies);
  await insertCopies(tx, message.messageId, copies);
}
