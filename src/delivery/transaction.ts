/**
 * One LMTP transaction after its last byte (message path, steps 6 and 7): loops, redeliveries, hooks per account, one commit, and an
 * outcome for every RCPT in order. A failure is an outcome of its recipients, never a rejection.
 */
import type { Deadline } from "../core/deadline.ts";
import type { Envelope } from "../core/envelope.ts";
import { MairustError, toMairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobRecord, BlobStore } from "../core/ports/blobs.ts";
import type { Directory, ResolvedRecipient } from "../core/ports/directory.ts";
import type { Holds } from "../core/ports/holds.ts";
import type { HookRunner } from "../core/ports/hooks.ts";
import type { RecipientOutcome } from "../core/ports/intake.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageStore, TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { Verdicts } from "../core/ports/verdicts.ts";
import { within } from "../platform/deadline.ts";
import type { DeliveryStep } from "../wire/delivery-steps.ts";
import {
  type AccountDelivery,
  type ArrivedMessage,
  accountDeliveries,
  buildDelivery,
  type DecidedDelivery,
  type DeliveryFacts,
  heldMessage,
  type Judgement,
  messageFacts,
} from "./account-delivery.ts";
import { newHold } from "./hold-copy.ts";
import { hooksDeadline } from "./hooks-time.ts";
import type { InFlightDeliveries } from "./in-flight.ts";
import { Outcomes } from "./outcomes.ts";
import { PreReceive } from "./pre-receive.ts";
import type { ReceivedMessage } from "./received-message.ts";
import { type LateReject, type Ruling, rulingOf } from "./ruling.ts";
import type { TraceFields } from "./trace-field.ts";

export interface IntakeOptions {
  readonly blobs: BlobStore;
  readonly store: MessageStore;
  readonly directory: Directory;
  readonly hooks: HookRunner;
  /** What the milter left for LMTP. */
  readonly verdicts: Verdicts;
  readonly trace: TraceFields;
  readonly holds: Holds;
  /** `lmtp.late_reject`. */
  readonly lateReject: () => LateReject;
  readonly log: Log;
  readonly hostname: string;
  readonly newMessageId: () => MessageId;
  readonly now: () => Date;
  readonly limits: () => { readonly receivedHeaders: number; readonly mime: MimeLimits };
  /** `user+detail@` selects an existing folder. */
  readonly detailFolder: () => boolean;
  /** Told of each step as it is done: crash tests and the loss proof end the process there. */
  readonly onStep?: (step: DeliveryStep) => void;
}

/** Who is neither refused nor failed. */
interface Kept {
  readonly decided: DecidedDelivery;
  readonly ruling: Exclude<Ruling, { readonly kind: "refuse" }>;
}

/** Lives until its outcomes are known, and what it started has ended. */
export class Transaction {
  readonly #options: IntakeOptions;
  readonly #inFlight: InFlightDeliveries;
  readonly #resolved: readonly ResolvedRecipient[];
  readonly #arrived: ArrivedMessage;
  readonly #preReceive: PreReceive;
  readonly #outcomes: Outcomes;
  readonly #background: Promise<void>[] = [];

  constructor(
    options: IntakeOptions,
    inFlight: InFlightDeliveries,
    envelope: Envelope,
    resolved: readonly ResolvedRecipient[],
    message: ReceivedMessage,
  ) {
    this.#options = options;
    this.#inFlight = inFlight;
    this.#resolved = resolved;
    const queueId = envelope.client.ident ?? message.structure.receivedId ?? "";
    this.#arrived = { message, envelope, queueId };
    this.#preReceive = new PreReceive(options, this.#arrived);
    this.#outcomes = new Outcomes({ ...options, message, queueId });
  }

  /** Postfix's queue id: from XFORWARD, else from the newest Received field; "" when neither has one. */
  get queueId(): string {
    return this.#arrived.queueId;
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
    const addresses = this.#resolved.map(r => r.account.address);
    try {
      const release = await this.#inFlight.claim(this.queueId, [...new Set(addresses)], deadline);
      try {
        await this.#deliver(deadline);
      } finally {
        // The same delivery must not run again while this one may still be stored.
        void this.settled.then(release);
      }
    } catch (error) {
      this.#failRest(toMairustError(error, "deliver the message"));
    }
    return this.#outcomes.answer(addresses);
  }

  async #deliver(deadline: Deadline): Promise<void> {
    this.#options.onStep?.("received");
    const pending = this.#withoutLoops(accountDeliveries(this.#arrived.envelope, this.#resolved));
    const fresh = await within(this.#withoutStored(pending), deadline);
    const decided = await this.#decideAll(fresh, deadline);
    this.#options.onStep?.("decided");
    const kept = await this.#applyRulings(decided, deadline);
    if (kept.length === 0) return;
    if (deadline.signal.aborted) throw deadline.signal.reason;
    const stored = this.#store(kept);
    this.#background.push(
      stored.catch(error => {
        if (this.#outcomes.isAnswered) this.#failedAfterAnswer(error);
      }),
    );
    await within(stored, deadline);
  }

  async #decideAll(
    fresh: readonly AccountDelivery[],
    deadline: Deadline,
  ): Promise<readonly DecidedDelivery[]> {
    const hasChain = this.#options.hooks.has("pre_delivery");
    if (!hasChain && !this.#preReceive.isNeeded) return fresh.map(delivery => undecided(delivery));
    const forHooks = hooksDeadline(deadline);
    try {
      const judging = this.#preReceive.judge(fresh, forHooks, late => this.#recordLate(late));
      const judged = await within(judging, deadline);
      const decided = fresh.map(delivery => undecided(delivery, judged.get(delivery.account.address)));
      const delivered = decided.filter(
        ({ received }) => (received?.decision.action ?? "deliver") === "deliver",
      );
      if (!hasChain) return decided;
      const all = delivered.map(({ delivery }) => delivery);
      const chains = delivered.map(one => this.#decide(one, all, forHooks));
      const after = await within(Promise.all(chains), deadline);
      return [...decided.filter(one => !delivered.includes(one)), ...after.flat()];
    } finally {
      forHooks.dispose();
    }
  }

  /** RFC 5321 §6.3: too many hops, or a message that was here for this mailbox before. */
  #withoutLoops(deliveries: readonly AccountDelivery[]): readonly AccountDelivery[] {
    const { structure } = this.#arrived.message;
    const tooManyHops = structure.receivedCount > this.#options.limits().receivedHeaders;
    const deliveredTo = structure.deliveredTo.map(value =>
      Buffer.from(value, "latin1").toString("utf8").toLowerCase(),
    );
    return deliveries.filter(({ account }) => {
      if (!tooManyHops && !deliveredTo.includes(account.address)) return true;
      const text = tooManyHops ? "too many hops" : "mail forwarding loop";
      const error = new MairustError("mail_loop", `Cannot deliver to "${account.address}": ${text}`, {
        publicText: text,
      });
      this.#outcomes.failed(account.address, error);
      return false;
    });
  }

  /** Nobody judges a redelivery again. Without hooks the unique key at commit says the same, one query cheaper. */
  async #withoutStored(deliveries: readonly AccountDelivery[]): Promise<readonly AccountDelivery[]> {
    const isJudged = this.#options.hooks.has("pre_delivery") || this.#preReceive.isNeeded;
    if (!isJudged || this.queueId === "" || deliveries.length === 0) return deliveries;
    const stored = await this.#options.store.alreadyDelivered(
      this.queueId,
      this.#arrived.message.staged.digest,
      deliveries.map(d => d.account.id),
    );
    return deliveries.filter(({ account }) => {
      const id = stored.get(account.id);
      if (id === undefined) return true;
      this.#outcomes.stored(account.address, id, true, {});
      const at = this.#options.now();
      const event = { at, kind: "duplicate", recipient: account.address, data: { stored_as: id } } as const;
      this.#options.store.recordEvents(id, this.queueId, [event]);
      return false;
    });
  }

  /** @returns nothing when the chain itself broke: this recipient alone has failed then */
  async #decide(
    undecided: DecidedDelivery,
    all: readonly AccountDelivery[],
    deadline: Deadline,
  ): Promise<readonly DecidedDelivery[]> {
    const { delivery, received } = undecided;
    try {
      const facts = messageFacts(this.#arrived, delivery, all, received?.decision.tags ?? []);
      const options = received === undefined ? {} : { provenance: received.decision.provenance };
      const { each, events, late } = await this.#options.hooks.run("pre_delivery", facts, deadline, options);
      if (late !== undefined) this.#recordLate(late);
      const decision = each.get(delivery.account.address);
      return [{ ...undecided, decision, events: [...undecided.events, ...events] }];
    } catch (error) {
      this.#outcomes.failed(delivery.account.address, toMairustError(error, "run the hooks"));
      return [];
    }
  }

  #recordLate(late: Promise<readonly TimelineEvent[]>): void {
    const record = async () => {
      const events = await late;
      if (events.length > 0) this.#options.store.recordEvents(this.#arrived.message.id, this.queueId, events);
    };
    this.#background.push(record());
  }

  /** @returns what is to be stored or held; who is refused has its outcome */
  async #applyRulings(decided: readonly DecidedDelivery[], deadline: Deadline): Promise<readonly Kept[]> {
    const kept: Kept[] = [];
    const forgotten: Promise<void>[] = [];
    for (const one of decided) {
      const ruling = rulingOf(one, this.#options.lateReject());
      if (ruling.kind !== "refuse") {
        kept.push({ decided: one, ruling });
        continue;
      }
      const carried = one.received?.carried;
      if (carried !== undefined && ruling.refusal.action === "tempfail") {
        // The next try is judged anew.
        const { recipient, orcpt } = carried.verdict;
        forgotten.push(this.#options.verdicts.forget(carried.traceId, recipient, orcpt));
      }
      this.#outcomes.refused(one.delivery.account.address, ruling.refusal, one.events);
    }
    if (forgotten.length > 0) await within(Promise.all(forgotten), deadline);
    return kept;
  }

  /** The peer was told 451; nothing is stored, and it comes again. */
  #failedAfterAnswer(error: unknown): void {
    this.#options.log.error("not stored after the answer", {
      queue_id: this.queueId,
      id: this.#arrived.message.id,
      error: toMairustError(error, "store the message"),
    });
  }

  async #store(kept: readonly Kept[]): Promise<void> {
    const blob = await this.#arrived.message.staged.persist();
    this.#options.onStep?.("persisted");
    const facts = this.#facts(blob);
    const accepted = kept.flatMap(({ decided, ruling }) => (ruling.kind === "store" ? [decided] : []));
    try {
      await this.#storeCopies(facts, accepted);
    } finally {
      // After it, because both may make the message's row; and whatever became of it.
      await this.#holdCopies(facts, kept);
    }
  }

  #facts(blob: BlobRecord): DeliveryFacts {
    return {
      ...this.#arrived,
      blob,
      hostname: this.#options.hostname,
      detailFolder: this.#options.detailFolder(),
      traceId: this.#preReceive.trace?.id,
      hasFollowUp: this.#options.hooks.has("post_receive"),
    };
  }

  async #storeCopies(facts: DeliveryFacts, accepted: readonly DecidedDelivery[]): Promise<void> {
    if (accepted.length === 0) return;
    const results = await this.#options.store.deliver(buildDelivery(facts, accepted));
    this.#options.onStep?.("committed");
    for (const [i, { delivery }] of accepted.entries()) this.#settle(delivery, results[i]);
  }

  async #holdCopies(facts: DeliveryFacts, kept: readonly Kept[]): Promise<void> {
    const holds = kept.flatMap(({ decided, ruling }) =>
      ruling.kind === "hold" ? [{ decided, hold: newHold(facts, decided, ruling) }] : [],
    );
    if (holds.length === 0) return;
    const results = await this.#options.holds.hold(
      heldMessage(facts),
      holds.map(({ hold }) => hold),
    );
    for (const [i, { decided, hold }] of holds.entries()) {
      const fields = { hook: hold.by?.name, held_id: results[i]?.heldId };
      this.#outcomes.held(decided.delivery.account.address, results[i]?.already, fields);
    }
  }

  #settle({ account: { address } }: AccountDelivery, result: TargetResult | undefined): void {
    switch (result?.kind) {
      case "stored": {
        const place = { mailbox: result.mailbox, uid: result.uid };
        this.#outcomes.stored(address, this.#arrived.message.id, false, place);
        break;
      }
      case "duplicate":
        this.#outcomes.stored(address, result.messageId, true, {});
        break;
      case "over_quota": {
        const text = `Cannot store for "${address}": the quota is used up`;
        this.#outcomes.failed(
          address,
          new MairustError("over_quota", text, { publicText: "mailbox is full" }),
        );
        break;
      }
      default: {
        // Removed since RCPT: the next try gets its 550 there.
        const text = `Cannot store for "${address}": the account is gone`;
        this.#outcomes.failed(address, new MairustError("store_unavailable", text));
      }
    }
  }

  #failRest(error: MairustError): void {
    for (const address of new Set(this.#resolved.map(r => r.account.address))) {
      if (!this.#outcomes.has(address)) this.#outcomes.failed(address, error);
    }
  }
}

function undecided(delivery: AccountDelivery, received?: Judgement): DecidedDelivery {
  return { delivery, received, decision: undefined, events: received?.events ?? [] };
}
