/**
 * What a transaction answers for each of its accounts (message path, steps 6 and 7), with the line in the log and the event that go
 * with it. Who has no outcome in the end has failed: nothing is answered `stored` by default.
 */
import { MairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { FinalAction } from "../core/ports/hooks.ts";
import type { RecipientOutcome } from "../core/ports/intake.ts";
import type { Log, LogFields } from "../core/ports/log.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { ReceivedMessage } from "./received-message.ts";

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
  readonly #byAddress = new Map<string, RecipientOutcome>();
  /** The peer has its answers. */
  #answered = false;

  constructor(parts: OutcomeParts) {
    this.#parts = parts;
  }

  has(address: string): boolean {
    return this.#byAddress.has(address);
  }

  /** The answers, from now on unchanged for the peer. @param addresses  of the accounts, one for each RCPT */
  answer(addresses: readonly string[]): readonly RecipientOutcome[] {
    const outcomes = addresses.map(address => this.#byAddress.get(address) ?? this.#missing());
    this.#answered = true;
    return outcomes;
  }

  get isAnswered(): boolean {
    return this.#answered;
  }

  stored(address: string, id: MessageId, already: boolean, place: LogFields): void {
    this.#byAddress.set(address, { kind: "stored", already, id });
    this.#taken(address, id, already ? "already stored" : "stored", place);
  }

  held(address: string, already: MessageId | undefined, fields: LogFields): void {
    const id = already ?? this.#parts.message.id;
    this.#byAddress.set(address, { kind: "held", already: already !== undefined, id });
    this.#taken(address, id, already === undefined ? "held" : "already held", fields);
  }

  refused(
    address: string,
    { action, code, enhanced, text }: Refusal,
    events: readonly TimelineEvent[],
  ): void {
    const { id } = this.#parts.message;
    this.#byAddress.set(address, { kind: "refused", id, code, enhanced, text });
    this.#parts.log.info("refused", {
      queue_id: this.#parts.queueId,
      id,
      to: address,
      status: `${code} ${enhanced}`,
    });
    const data = { action, code, text };
    this.#record([...events, { at: this.#parts.now(), kind: "refused", recipient: address, data }]);
  }

  failed(address: string, error: MairustError): void {
    const { id } = this.#parts.message;
    const isPassing = error.retry === "later";
    this.#byAddress.set(address, { kind: "failed", error, id });
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
