/**
 * What of the journal of relayed mail still counts, in memory (message path, step 7): what its lines (`relay-journal-lines.ts`) come to.
 *
 * What is open when a process ends is known by the next one. Of the relays that the database knows, the last ones are kept as well: mail
 * whose answer did not get to the MTA comes again, and the database may be away by then. Everything has a limit; past it the oldest goes,
 * but for results that wait for the database: the caller asks before it takes one more.
 */
import { blobDigest, type MessageId, messageId } from "../core/ids.ts";
import type { RelayDelivery, RelayResult } from "../core/ports/relay-records.ts";
import { ByDelivery, type DeliveryKey, deliveryKey } from "./by-delivery.ts";
import type { Line } from "./relay-journal-lines.ts";

/** Relays of which nobody knows the end: beyond, the oldest is forgotten, and not counted when it comes again. */
const MAX_OPEN = 10_000;
/** Deliveries that the database knows too. Only the last ones count: those whose answer may have been lost on its way to the MTA. */
const MAX_DONE = 5_000;
/** Of all of these. */
const MAX_DONE_RECIPIENTS = 50_000;

export interface OpenRelay extends RelayDelivery {
  readonly recipients: readonly string[];
  readonly atMs: number;
  /** It began in this process, and may still end. */
  readonly isRunning: boolean;
}

/** What is known of a delivery, in the database too. */
interface DoneDelivery {
  readonly atMs: number;
  /** RCPT as it was given → the message's id when it was relayed. */
  readonly taken: ReadonlyMap<string, MessageId>;
}

export interface TakenLine {
  readonly result: RelayResult;
  readonly atMs: number;
}

export class RelayJournalState {
  readonly open = new ByDelivery<OpenRelay>(one => one);
  readonly taken = new ByDelivery<TakenLine>(({ result }) => result);
  /** By `deliveryKey`, oldest first. */
  readonly #done = new Map<string, DoneDelivery>();
  #doneRecipients = 0;

  /** @param oldestMs  what is older does not count */
  doneOf(delivery: DeliveryKey, oldestMs: number): ReadonlyMap<string, MessageId> {
    const done = delivery.queueId === "" ? undefined : this.#done.get(deliveryKey(delivery));
    return done !== undefined && done.atMs > oldestMs ? done.taken : new Map();
  }

  /** @param isRunning  it is written by this process now */
  apply(line: Line, isRunning: boolean): void {
    switch (line.k) {
      case "sent": {
        const delivery = { messageId: messageId(line.m), queueId: line.q, digest: blobDigest(line.d) };
        this.open.set(line.id, { ...delivery, recipients: line.r, atMs: line.at, isRunning });
        if (this.open.size > MAX_OPEN) this.open.deleteOldest();
        break;
      }
      case "over": {
        const open = this.open.get(line.id);
        this.open.delete(line.id);
        if (open === undefined) break;
        if (line.left !== undefined && line.left.length > 0)
          this.open.set(line.id, { ...open, recipients: line.left, isRunning: false });
        if (line.ok !== undefined)
          this.#noteDone(
            open,
            open.atMs,
            line.ok.map(raw => [raw, open.messageId]),
          );
        break;
      }
      case "done": {
        const delivery = { queueId: line.q, digest: blobDigest(line.d) };
        this.#noteDone(
          delivery,
          line.at,
          line.r.map(([raw, m]) => [raw, messageId(m)]),
        );
        break;
      }
      case "taken":
        this.taken.set(line.id, { result: line.result, atMs: line.at });
        break;
      case "loaded": {
        const loaded = this.taken.get(line.id);
        this.taken.delete(line.id);
        // Its `over` may be missing: the process that wrote `taken` was killed.
        if (loaded !== undefined) {
          const { result, atMs } = loaded;
          this.#noteDone(
            result,
            atMs,
            result.taken.map(({ raw }) => [raw, result.messageId]),
          );
        }
        break;
      }
    }
  }

  #noteDone(
    delivery: DeliveryKey,
    atMs: number,
    taken: readonly (readonly [raw: string, id: MessageId])[],
  ): void {
    if (delivery.queueId === "") return;
    const key = deliveryKey(delivery);
    const before = this.#done.get(key)?.taken ?? [];
    const all = new Map([...before, ...taken]);
    this.#dropDone(key);
    this.#done.set(key, { atMs, taken: all });
    this.#doneRecipients += all.size;
    for (const oldest of this.#done.keys()) {
      if (this.#done.size <= MAX_DONE && this.#doneRecipients <= MAX_DONE_RECIPIENTS) break;
      this.#dropDone(oldest);
    }
  }

  #dropDone(key: string): void {
    this.#doneRecipients -= this.#done.get(key)?.taken.size ?? 0;
    this.#done.delete(key);
  }

  dropOld(oldestMs: number): void {
    for (const [id, one] of this.open) if (!one.isRunning && one.atMs <= oldestMs) this.open.delete(id);
    for (const [key, one] of this.#done) if (one.atMs <= oldestMs) this.#dropDone(key);
  }

  /** The same in as few lines as can be. */
  lines(): readonly Line[] {
    return [
      ...[...this.#done].map(([key, { atMs, taken }]): Line => {
        const end = key.lastIndexOf(" ");
        return { k: "done", q: key.slice(0, end), d: key.slice(end + 1), at: atMs, r: [...taken] };
      }),
      ...[...this.open].map(([id, o]): Line => {
        const { messageId: m, queueId: q, digest: d } = o;
        return { k: "sent", id, m, q, d, r: o.recipients, at: o.atMs };
      }),
      ...[...this.taken].map(([id, { result, atMs }]): Line => ({ k: "taken", id, at: atMs, result })),
    ];
  }
}
