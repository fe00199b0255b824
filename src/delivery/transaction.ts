/**
 * One LMTP transaction after its last byte (message path, steps 6 and 7): loops, redeliveries, hooks per account, one commit, and an
 * outcome for every RCPT in order. A failure is an outcome of its recipients, never a rejection.
 */
import type { Deadline } from "../core/deadline.ts";
import type { Envelope } from "../core/envelope.ts";
import { MairustError, toMairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { ResolvedRecipient } from "../core/ports/directory.ts";
import type { RecipientOutcome } from "../core/ports/intake.ts";
import type { TargetResult } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { within } from "../platform/deadline.ts";
import {
  type AccountDelivery,
  type ArrivedMessage,
  accountDeliveries,
  buildDelivery,
  type DecidedDelivery,
  type DeliveryFacts,
  heldMessage,
  isObserved,
  type Judgement,
  messageFacts,
} from "./account-delivery.ts";
import { newHold } from "./hold-copy.ts";
import { hooksDeadline } from "./hooks-time.ts";
import type { InFlightDeliveries } from "./in-flight.ts";
import type { IntakeOptions } from "./intake-options.ts";
import { loopOf } from "./loops.ts";
import { Outcomes } from "./outcomes.ts";
import { PreReceive } from "./pre-receive.ts";
import type { ReceivedMessage } from "./received-message.ts";
import { RelayPart } from "./relay/relay-part.ts";
import { type Ruling, rulingOf } from "./ruling.ts";
import { type StoredCopy, tellSuccess } from "./tell-success.ts";

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
  readonly #relay: RelayPart;
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
    this.#preReceive = new PreReceive(options, { message, envelope, queueId });
    this.#arrived = this.#preReceive.arrived;
    this.#outcomes = new Outcomes({ ...options, message, queueId });
    this.#relay = new RelayPart({ ...options, ...options.relay }, this.#arrived, this.#outcomes);
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
    const all = accountDeliveries(this.#arrived.envelope, this.#resolved);
    try {
      const addresses = all.map(({ account }) => account.address);
      const release = await this.#inFlight.claim(this.queueId, [...new Set(addresses)], deadline);
      try {
        await this.#deliver(all, deadline);
      } finally {
        // The same delivery must not run again while this one may still be stored, or taken by the next hop.
        void this.settled.then(release);
      }
    } catch (error) {
      this.#failRest(all, toMairustError(error, "deliver the message"));
    }
    return this.#outcomes.answer(this.#resolved.length);
  }

  async #deliver(all: readonly AccountDelivery[], deadline: Deadline): Promise<void> {
    this.#options.onStep?.("received");
    const pending = this.#withoutLoops(all);
    const fresh = await within(this.#withoutDone(pending), deadline);
    const decided = await this.#decideAll(fresh, deadline);
    this.#options.onStep?.("decided");
    const kept = await this.#applyRulings(decided, deadline);
    if (kept.length === 0) return;
    if (deadline.signal.aborted) throw deadline.signal.reason;
    const isRelayed = ({ decided: { delivery }, ruling }: Kept) =>
      delivery.stage !== "store" && ruling.kind === "store";
    const work = [
      this.#storeOrFail(kept.filter(one => !isRelayed(one))),
      this.#relayOn(kept, kept.filter(isRelayed), deadline),
    ];
    this.#background.push(...work);
    await within(Promise.all(work), deadline);
  }

  /** Never rejects. */
  async #storeOrFail(kept: readonly Kept[]): Promise<void> {
    if (kept.length === 0) return;
    try {
      await this.#store(kept);
    } catch (error) {
      if (this.#outcomes.isAnswered) this.#failedAfterAnswer(error);
      const deliveries = kept.map(({ decided }) => decided.delivery);
      this.#failRest(deliveries, toMairustError(error, "store the message"));
    }
  }

  /** Never rejects. */
  async #relayOn(all: readonly Kept[], relayed: readonly Kept[], deadline: Deadline): Promise<void> {
    if (relayed.length === 0) return;
    const accepted = relayed.map(({ decided }) => decided);
    await this.#relay.deliver(accepted, this.#facts(), relayed.length === all.length, deadline);
  }

  /** Who is left of them: neither stored, held nor relayed before. */
  async #withoutDone(pending: readonly AccountDelivery[]): Promise<readonly AccountDelivery[]> {
    const [stored, relayed] = await Promise.all([
      this.#withoutStored(pending.filter(({ stage }) => stage === "store")),
      this.#relay.withoutKnown(pending.filter(({ stage }) => stage !== "store")),
    ]);
    return [...stored, ...relayed];
  }

  /** What hooks cannot say does not hold up those whose mail only passes by. */
  async #decideAll(
    fresh: readonly AccountDelivery[],
    deadline: Deadline,
  ): Promise<readonly DecidedDelivery[]> {
    try {
      return await this.#judgeAll(fresh, deadline);
    } catch (error) {
      const observed = fresh.filter(isObserved);
      if (observed.length === 0) throw error;
      const failure = toMairustError(error, "run the hooks");
      this.#failRest(
        fresh.filter(one => !isObserved(one)),
        failure,
      );
      this.#options.log.warn("hooks in shadow not run", { queue_id: this.queueId, error: failure });
      return observed.map(delivery => undecided(delivery));
    }
  }

  async #judgeAll(
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
        ({ delivery, received }) =>
          isObserved(delivery) || (received?.decision.action ?? "deliver") === "deliver",
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

  #withoutLoops(deliveries: readonly AccountDelivery[]): readonly AccountDelivery[] {
    const { structure } = this.#arrived.message;
    const { receivedHeaders } = this.#options.limits();
    return deliveries.filter(delivery => {
      const error = loopOf(structure, delivery.account, receivedHeaders);
      if (error !== undefined) this.#outcomes.failed(delivery, error);
      return error === undefined;
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
    const known = deliveries.flatMap(delivery => {
      const id = stored.get(delivery.account.id);
      return id === undefined ? [] : [{ delivery, id }];
    });
    await this.#tellSuccess(known);
    return deliveries.filter(delivery => {
      const { account } = delivery;
      const id = stored.get(account.id);
      if (id === undefined) return true;
      if (!this.#outcomes.has(delivery)) this.#outcomes.stored(delivery, id, true, {});
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
      if (isObserved(delivery)) return [undecided];
      this.#outcomes.failed(delivery, toMairustError(error, "run the hooks"));
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
      const ruling: Ruling = isObserved(one.delivery)
        ? { kind: "store" }
        : rulingOf(one, this.#options.lateReject());
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
      this.#outcomes.refused(one.delivery, ruling.refusal, one.events);
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
    const facts = { ...this.#facts(), blob };
    const accepted = kept.flatMap(({ decided, ruling }) => (ruling.kind === "store" ? [decided] : []));
    try {
      await this.#storeCopies(facts, accepted);
    } finally {
      // After it, because both may make the message's row; and whatever became of it.
      await this.#holdCopies(facts, kept);
    }
  }

  #facts(): Omit<DeliveryFacts, "blob"> {
    return {
      ...this.#arrived,
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
    await this.#tellSuccess(
      accepted.flatMap(({ delivery }, i) => storedCopy(delivery, results[i], this.#arrived.message.id)),
    );
    for (const [i, { delivery }] of accepted.entries()) {
      if (!this.#outcomes.has(delivery)) this.#settle(delivery, results[i]);
    }
  }

  /** Who could not be told of now is answered 4xx: it comes again, is stored already, and its sender is told then. */
  async #tellSuccess(copies: readonly StoredCopy[]): Promise<void> {
    const { successNotices, log } = this.#options;
    const failed = await tellSuccess({ successNotices, log }, this.#arrived, copies);
    for (const [delivery, error] of failed) this.#outcomes.failed(delivery, error);
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
      this.#outcomes.held(decided.delivery, results[i]?.already, fields);
    }
  }

  #settle(delivery: AccountDelivery, result: TargetResult | undefined): void {
    const { address } = delivery.account;
    switch (result?.kind) {
      case "stored": {
        const place = { mailbox: result.mailbox, uid: result.uid };
        this.#outcomes.stored(delivery, this.#arrived.message.id, false, place);
        break;
      }
      case "duplicate":
        this.#outcomes.stored(delivery, result.messageId, true, {});
        break;
      case "over_quota": {
        const text = `Cannot store for "${address}": the quota is used up`;
        this.#outcomes.failed(
          delivery,
          new MairustError("over_quota", text, { publicText: "mailbox is full" }),
        );
        break;
      }
      default: {
        // Removed since RCPT: the next try gets its 550 there.
        const text = `Cannot store for "${address}": the account is gone`;
        this.#outcomes.failed(delivery, new MairustError("store_unavailable", text));
      }
    }
  }

  #failRest(deliveries: readonly AccountDelivery[], error: MairustError): void {
    for (const delivery of deliveries)
      if (!this.#outcomes.has(delivery)) this.#outcomes.failed(delivery, error);
  }
}

function storedCopy(
  delivery: AccountDelivery,
  result: TargetResult | undefined,
  id: MessageId,
): readonly StoredCopy[] {
  if (result?.kind === "stored") return [{ delivery, id }];
  return result?.kind === "duplicate" ? [{ delivery, id: result.messageId }] : [];
}

function undecided(delivery: AccountDelivery, received?: Judgement): DecidedDelivery {
  return { delivery, received, decision: undefined, events: received?.events ?? [] };
}
