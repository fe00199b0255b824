/**
 * What a transaction answers for each RCPT (message path, steps 6 and 7), with the line in the log and the event that go with it: mostly
 * one answer for all RCPTs of an account; the next hop of a relay stage has one for each. Who has no outcome in the end has failed:
 * nothing is answered `stored` by default.
 */
import { MairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { FinalAction } from "../core/ports/hooks.ts";
import type { RecipientOutcome } from "../core/ports/intake.ts";
import type { Log, LogFields } from "../core/ports/log.ts";
import type { RelayReply } from "../core/ports/relay.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { AccountDelivery } from "./account-delivery.ts";
import type { ReceivedMessage } from "./received-message.ts";

/** Whom an outcome is about. */
export type Answered = Pick<AccountDelivery, "account" | "places">;

export interface OutcomeParts {
  readonly message: ReceivedMessage;
  readonly queueId: string;
  readonly store: MessageStore;
  readonly log: Log;
  readonly now: () => Date;
}

/** A reply of a hook, or of a policy. */
export interface Refusal {
  readonly action: FinalAction;
  readonly code: number;
  readonly enhanced: string;
  readonly text: string;
}

export class Outcomes {
  readonly #parts: OutcomeParts;
  readonly #byPlace = new Map<number, RecipientOutcome>();
  /** The peer has its answers. */
  #answered = false;

  constructor(parts: OutcomeParts) {
    this.#parts = parts;
  }

  /** All of its RCPTs have theirs. */
  has({ places }: Answered): boolean {
    return places.every(place => this.#byPlace.has(place));
  }

  /** The answers, from now on unchanged for the peer. @param count  of RCPTs */
  answer(count: number): readonly RecipientOutcome[] {
    const outcomes = Array.from({ length: count }, (_, place) => this.#byPlace.get(place) ?? this.#missing());
    this.#answered = true;
    return outcomes;
  }

  get isAnswered(): boolean {
    return this.#answered;
  }

  stored(to: Answered, id: MessageId, already: boolean, place: LogFields): void {
    this.#set(to, { kind: "stored", already, id });
    this.#taken(to.account.address, id, already ? "already stored" : "stored", place);
  }

  held(to: Answered, already: MessageId | undefined, fields: LogFields): void {
    const id = already ?? this.#parts.message.id;
    this.#set(to, { kind: "held", already: already !== undefined, id });
    this.#taken(to.account.address, id, already === undefined ? "held" : "already held", fields);
  }

  /** Told to the timeline by whoever recorded it. @param place  of one RCPT. @param raw  its address */
  relayed(
    place: number,
    raw: string,
    id: MessageId,
    server: string,
    { code, enhanced, text }: RelayReply,
  ): void {
    this.#byPlace.set(place, { kind: "relayed", code, enhanced, text, id });
    const reply = `${code} ${enhanced} ${text}`.replace("  ", " ");
    if (code < 300) {
      this.#taken(raw, id, "relayed", { relay: server, reply });
      return;
    }
    this.#parts.log.info("not relayed", {
      queue_id: this.#parts.queueId,
      id,
      to: raw,
      relay: server,
      reply,
      status: code < 500 ? "deferred" : "bounced",
    });
  }

  relayedBefore(to: Answered, raw: string, id: MessageId): void {
    this.#set(to, { kind: "relayed_before", id });
    this.#taken(raw, id, "already relayed", {});
  }

  refused(to: Answered, { action, code, enhanced, text }: Refusal, events: readonly TimelineEvent[]): void {
    const { id } = this.#parts.message;
    const { address } = to.account;
    this.#set(to, { kind: "refused", id, code, enhanced, text });
    this.#parts.log.info("refused", {
      queue_id: this.#parts.queueId,
      id,
      to: address,
      status: `${code} ${enhanced}`,
    });
    const data = { action, code, text };
    this.#record([...events, { at: this.#parts.now(), kind: "refused", recipient: address, data }]);
  }

  /** Those of its RCPTs that have no outcome yet have failed. */
  failed(to: Answered, error: MairustError): void {
    const { id } = this.#parts.message;
    const { address } = to.account;
    const isPassing = error.retry === "later";
    for (const place of to.places)
      if (!this.#byPlace.has(place)) this.#byPlace.set(place, { kind: "failed", error, id });
    this.#parts.log.warn("not stored", {
      queue_id: this.#parts.queueId,
      id,
      to: address,
      status: isPassing ? "deferred" : "bounced",
      error,
    });
    const data = { reason: error.code };
    const kind = isPassing ? "deferred" : "refused";
    this.#record([{ at: this.#parts.now(), kind, recipient: address, data }]);
  }

  #set({ places }: Answered, outcome: RecipientOutcome): void {
    for (const place of places) this.#byPlace.set(place, outcome);
  }

  #taken(address: string, id: MessageId, event: string, fields: LogFields): void {
    const { message, queueId, log, now } = this.#parts;
    // After the answer the peer has a 451 for it and comes again: then it is "already stored".
    const isLate = this.#answered && !event.startsWith("already");
    log.info(isLate ? `${event} after the answer` : event, {
      queue_id: queueId,
      id,
      to: address,
      ...fields,
      size_bytes: message.staged.sizeBytes,
      delay: (now().getTime() - message.receivedAt.getTime()) / 1000,
      status: "sent",
    });
  }

  #record(events: readonly TimelineEvent[]): void {
    this.#parts.store.recordEvents(this.#parts.message.id, this.#parts.queueId, events);
  }

  #missing(): RecipientOutcome {
    return {
      kind: "failed",
      id: this.#parts.message.id,
      error: new MairustError("internal", "Cannot tell the outcome: none was recorded"),
    };
  }
}
