/**
 * One LMTP transaction after its last byte (message path, steps 6 and 7): loops, redeliveries, hooks per account, one commit, and an
 * outcome for every RCPT in order. A failure is an outcome of its recipients, never a rejection.
 */
import type { Deadline } from "../core/deadline.ts";
import type { Envelope } from "../core/envelope.ts";
import { MairustError, toMairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory, ResolvedRecipient } from "../core/ports/directory.ts";
import type { HookDecision, HookRunner } from "../core/ports/hooks.ts";
import type { RecipientOutcome } from "../core/ports/intake.ts";
import type { Log, LogFields } from "../core/ports/log.ts";
import type { MessageStore, TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import { type AccountDelivery, accountDeliveries, buildDelivery, messageFacts } from "./account-delivery.ts";
import type { InFlightDeliveries } from "./in-flight.ts";
import type { ReceivedMessage } from "./received-message.ts";

/**
 * Named steps of a delivery, in their order. `received`: all bytes are here, nothing is durable. `decided`: hooks have run.
 * `persisted`: the blob is durable. `committed`: the rows are, and nobody was answered yet.
 */
export type DeliveryStep = "received" | "decided" | "persisted" | "committed";

export interface IntakeOptions {
  readonly blobs: BlobStore;
  readonly store: MessageStore;
  readonly directory: Directory;
  readonly hooks: HookRunner;
  readonly log: Log;
  readonly hostname: string;
  readonly newMessageId: () => MessageId;
  readonly now: () => Date;
  readonly limits: () => { readonly receivedHeaders: number; readonly mime: MimeLimits };
  /** `user+detail@` selects an existing folder. */
  readonly detailFolder: () => boolean;
  /** Told of each step as it is done: crash tests end the process there. */
  readonly onStep?: (step: DeliveryStep) => void;
}

/** One transaction after its last byte: lives until its outcomes are known. */
interface Decided {
  readonly delivery: AccountDelivery;
  readonly decision: HookDecision | undefined;
  readonly events: readonly TimelineEvent[];
}

/** Kept of the transaction's time for the commit, at most. */
const COMMIT_RESERVE_MS = 5_000;
/** And never more than this share of what is left. */
const COMMIT_RESERVE_SHARE = 0.25;

export class Transaction {
  readonly #options: IntakeOptions;
  readonly #inFlight: InFlightDeliveries;
  readonly #envelope: Envelope;
  readonly #resolved: readonly ResolvedRecipient[];
  readonly #message: ReceivedMessage;
  readonly #queueId: string;
  readonly #outcomes = new Map<string, RecipientOutcome>();
  readonly #background: Promise<void>[] = [];
  #answered = false;

  constructor(
    options: IntakeOptions,
    inFlight: InFlightDeliveries,
    envelope: Envelope,
    resolved: readonly ResolvedRecipient[],
    message: ReceivedMessage,
  ) {
    this.#options = options;
    this.#inFlight = inFlight;
    this.#envelope = envelope;
    this.#resolved = resolved;
    this.#message = message;
    this.#queueId = envelope.client.ident ?? message.structure.receivedId ?? "";
  }

  /** Postfix's queue id: from XFORWARD, else from the newest Received field; "" when neither has one. */
  get queueId(): string {
    return this.#queueId;
  }

  /**
   * What still goes on after the answer: a commit that the deadline did not wait for, shadow calls. The message's bytes and the claim
   * on its recipients are held until then. Never rejects.
   */
  get settled(): Promise<void> {
    return Promise.all(this.#background).then(() => undefined);
  }

  /** Never rejects. Resolves at the deadline at the latest; who is not finished then gets a `deadline` failure. */
  async run(deadline: Deadline): Promise<readonly RecipientOutcome[]> {
    const accounts = [...new Set(this.#resolved.map(r => r.account.address))];
    try {
      const release = await this.#inFlight.claim(this.#queueId, accounts, deadline);
      try {
        await this.#deliver(deadline);
      } finally {
        // The same delivery must not run again while this one may still be stored.
        void this.settled.then(release);
      }
    } catch (error) {
      this.#failRest(toMairustError(error, "deliver the message"));
    }
    const outcomes = this.#resolved.map(r => this.#outcomes.get(r.account.address) ?? this.#missing());
    this.#answered = true;
    return outcomes;
  }

  async #deliver(deadline: Deadline): Promise<void> {
    this.#options.onStep?.("received");
    const pending = this.#withoutLoops(accountDeliveries(this.#envelope, this.#resolved));
    const fresh = await within(this.#withoutStored(pending), deadline);
    const decided = await this.#decideAll(fresh, deadline);
    this.#options.onStep?.("decided");
    const accepted = decided.filter(d => this.#accept(d));
    if (accepted.length === 0) return;
    if (deadline.signal.aborted) throw deadline.signal.reason;
    const stored = this.#store(accepted);
    this.#background.push(
      stored.catch(error => {
        if (this.#answered) this.#failedAfterAnswer(error);
      }),
    );
    await within(stored, deadline);
  }

  /** Hooks get the chain's time but for what the commit needs: a hook that is cut must not take the store's time with it. */
  async #decideAll(fresh: readonly AccountDelivery[], deadline: Deadline): Promise<readonly Decided[]> {
    if (!this.#options.hooks.has("pre_delivery")) {
      return fresh.map(delivery => ({ delivery, decision: undefined, events: [] }));
    }
    const remainingMs = deadline.remainingMs();
    const reserveMs = Math.min(COMMIT_RESERVE_MS, remainingMs * COMMIT_RESERVE_SHARE);
    const hooksDeadline = deadlineAfter(remainingMs - reserveMs, deadline);
    try {
      const decided = await Promise.all(fresh.map(delivery => this.#decide(delivery, fresh, hooksDeadline)));
      return decided.filter(one => one !== undefined);
    } finally {
      hooksDeadline.dispose();
    }
  }

  /** RFC 5321 §6.3: too many hops, or a message that was here for this mailbox before. */
  #withoutLoops(deliveries: readonly AccountDelivery[]): readonly AccountDelivery[] {
    const { structure } = this.#message;
    const tooManyHops = structure.receivedCount > this.#options.limits().receivedHeaders;
    const deliveredTo = structure.deliveredTo.map(value =>
      Buffer.from(value, "latin1").toString("utf8").toLowerCase(),
    );
    return deliveries.filter(delivery => {
      if (!tooManyHops && !deliveredTo.includes(delivery.account.address)) return true;
      const text = tooManyHops ? "too many hops" : "mail forwarding loop";
      this.#fail(
        delivery,
        new MairustError("mail_loop", `Cannot deliver to "${delivery.account.address}": ${text}`, {
          publicText: text,
        }),
      );
      return false;
    });
  }

  /** Hooks do not run again for a redelivery. Without hooks the unique key at commit says the same, one query cheaper. */
  async #withoutStored(deliveries: readonly AccountDelivery[]): Promise<readonly AccountDelivery[]> {
    if (!this.#options.hooks.has("pre_delivery") || this.#queueId === "" || deliveries.length === 0)
      return deliveries;
    const stored = await this.#options.store.alreadyDelivered(
      this.#queueId,
      this.#message.staged.digest,
      deliveries.map(d => d.account.id),
    );
    return deliveries.filter(delivery => {
      const id = stored.get(delivery.account.id);
      if (id === undefined) return true;
      this.#stored(delivery, id, true, {});
      this.#options.store.recordEvents(id, this.#queueId, [
        {
          at: this.#options.now(),
          kind: "duplicate",
          recipient: delivery.account.address,
          data: { stored_as: id },
        },
      ]);
      return false;
    });
  }

  /** @returns undefined when the chain itself broke: this recipient alone has failed then */
  async #decide(
    delivery: AccountDelivery,
    all: readonly AccountDelivery[],
    deadline: Deadline,
  ): Promise<Decided | undefined> {
    try {
      const facts = messageFacts(this.#message, this.#envelope, this.#queueId, delivery, all);
      const { each, events, late } = await this.#options.hooks.run("pre_delivery", facts, deadline);
      if (late !== undefined) this.#background.push(this.#recordLate(late));
      return { delivery, decision: each.get(delivery.account.address), events };
    } catch (error) {
      this.#fail(delivery, toMairustError(error, "run the hooks"));
      return undefined;
    }
  }

  async #recordLate(late: Promise<readonly TimelineEvent[]>): Promise<void> {
    const events = await late;
    if (events.length > 0) this.#options.store.recordEvents(this.#message.id, this.#queueId, events);
  }

  /** @returns true when the message is to be stored for this account */
  #accept({ delivery, decision, events }: Decided): boolean {
    if (decision === undefined || decision.action === "deliver") return true;
    const { id } = this.#message;
    const recipient = delivery.account.address;
    const reply = decision.reply ?? { code: 451, enhanced: "4.7.1", text: "held mail is not available" };
    this.#outcomes.set(recipient, { kind: "refused", id, ...reply });
    this.#options.log.info("refused", {
      queue_id: this.#queueId,
      id,
      to: recipient,
      status: `${reply.code} ${reply.enhanced}`,
    });
    this.#options.store.recordEvents(id, this.#queueId, [
      ...events,
      {
        at: this.#options.now(),
        kind: "refused",
        recipient,
        data: { action: decision.action, code: reply.code, text: reply.text },
      },
    ]);
    return false;
  }

  /** The peer was told 451; nothing is stored, and it comes again. */
  #failedAfterAnswer(error: unknown): void {
    this.#options.log.error("not stored after the answer", {
      queue_id: this.#queueId,
      id: this.#message.id,
      error: toMairustError(error, "store the message"),
    });
  }

  async #store(accepted: readonly Decided[]): Promise<void> {
    const blob = await this.#message.staged.persist();
    this.#options.onStep?.("persisted");
    const results = await this.#options.store.deliver(
      buildDelivery({
        message: this.#message,
        blob,
        envelope: this.#envelope,
        queueId: this.#queueId,
        hostname: this.#options.hostname,
        detailFolder: this.#options.detailFolder(),
        postReceive: this.#options.hooks.has("post_receive"),
        accepted,
      }),
    );
    this.#options.onStep?.("committed");
    for (const [i, { delivery }] of accepted.entries()) this.#settle(delivery, results[i]);
  }

  #settle(delivery: AccountDelivery, result: TargetResult | undefined): void {
    const { address } = delivery.account;
    switch (result?.kind) {
      case "stored":
        this.#stored(delivery, this.#message.id, false, { mailbox: result.mailbox, uid: result.uid });
        break;
      case "duplicate":
        this.#stored(delivery, result.messageId, true, {});
        break;
      case "over_quota": {
        const text = `Cannot store for "${address}": the quota is used up`;
        this.#fail(delivery, new MairustError("over_quota", text, { publicText: "mailbox is full" }));
        break;
      }
      default:
        // Removed since RCPT: the next try gets its 550 there.
        this.#fail(
          delivery,
          new MairustError("store_unavailable", `Cannot store for "${address}": the account is gone`),
        );
    }
  }

  #stored(delivery: AccountDelivery, id: MessageId, already: boolean, place: LogFields): void {
    this.#outcomes.set(delivery.account.address, { kind: "stored", already, id });
    // After the answer the peer has a 451 for it and comes again: then it is "already stored".
    const event = already ? "already stored" : this.#answered ? "stored after the answer" : "stored";
    this.#options.log.info(event, {
      queue_id: this.#queueId,
      id,
      to: delivery.account.address,
      ...place,
      size_bytes: this.#message.staged.sizeBytes,
      delay: (this.#options.now().getTime() - this.#message.receivedAt.getTime()) / 1000,
      status: "sent",
    });
  }

  #fail(delivery: AccountDelivery, error: MairustError): void {
    const recipient = delivery.account.address;
    this.#outcomes.set(recipient, { kind: "failed", error, id: this.#message.id });
    this.#options.log.warn("not stored", {
      queue_id: this.#queueId,
      id: this.#message.id,
      to: recipient,
      status: error.retry === "later" ? "deferred" : "bounced",
      error,
    });
    this.#options.store.recordEvents(this.#message.id, this.#queueId, [
      {
        at: this.#options.now(),
        kind: error.retry === "later" ? "deferred" : "refused",
        recipient,
        data: { reason: error.code },
      },
    ]);
  }

  #failRest(error: MairustError): void {
    for (const delivery of accountDeliveries(this.#envelope, this.#resolved)) {
      if (!this.#outcomes.has(delivery.account.address)) this.#fail(delivery, error);
    }
  }

  #missing(): RecipientOutcome {
    return {
      kind: "failed",
      id: this.#message.id,
      error: new MairustError("internal", "Cannot tell the outcome: none was recorded"),
    };
  }
}
