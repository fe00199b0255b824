/**
 * The part of a transaction that goes on to a next hop (message path, step 7): recipients in the stages `observe`, `hooks` and `mirror`.
 *
 *   known?     taken before: answered so, nothing is sent
 *   prepared   copies that are kept here wait in the database (`mirror`; `hooks` with hooks at post_receive)
 *   sent       one transaction at the next hop for all recipients whose bytes are the same
 *   recorded   what it took, durable; copies become entries, the others go
 *
 * What fails how: nobody has the message → 451 for those it was for; sent and not answered → 451, and it is counted when it comes
 * again; taken and not recorded anywhere → 451 too: better twice than lost. A failure is the recipients' whom it is about.
 */
import type { Deadline } from "../../core/deadline.ts";
import { MairustError, toMairustError } from "../../core/errors.ts";
import type { MessageId } from "../../core/ids.ts";
import type { RelayReply } from "../../core/ports/relay.ts";
import type { RelayCopy, RelayDelivery, RelayRecipient } from "../../core/ports/relay-records.ts";
import type { TimelineEvent } from "../../core/ports/timeline.ts";
import type { DecidedDelivery } from "../account-delivery.ts";
import {
  type AccountDelivery,
  type ArrivedMessage,
  arrivalEvents,
  type DeliveryFacts,
  heldMessage,
} from "../account-delivery.ts";
import type { Outcomes } from "../outcomes.ts";
import { type StoredCopy, tellSuccess } from "../tell-success.ts";
import type { RelayOptions } from "./relay-options.ts";
import { planRelay, type RelayGroup, type RelayMember, type RelayPlanOptions } from "./relay-plan.ts";
import { type RelayedContent, relayedContent } from "./relayed-bytes.ts";

interface Sent {
  readonly recipients: readonly RelayRecipient[];
  readonly places: readonly number[];
  readonly replies: readonly (RelayReply | undefined)[];
  readonly relay: string | undefined;
}

export class RelayPart {
  readonly #options: RelayOptions & RelayPlanOptions;
  readonly #arrived: ArrivedMessage;
  readonly #outcomes: Outcomes;
  #delivery: RelayDelivery;
  /** Sent before, and nobody knows what became of it. */
  #maybe: ReadonlySet<string> = new Set();

  constructor(options: RelayOptions & RelayPlanOptions, arrived: ArrivedMessage, outcomes: Outcomes) {
    const { message, queueId } = arrived;
    this.#options = options;
    this.#arrived = arrived;
    this.#outcomes = outcomes;
    this.#delivery = { messageId: message.id, queueId, digest: message.staged.digest };
  }

  /** @returns who is left; those whom the next hop, or the store, has the message for have their outcome */
  async withoutKnown(deliveries: readonly AccountDelivery[]): Promise<readonly AccountDelivery[]> {
    if (deliveries.length === 0) return [];
    const { done, maybe } = await this.#options.records.known(
      this.#delivery,
      deliveries.flatMap(recipientsOf),
    );
    this.#maybe = maybe;
    if (done.size === 0) return deliveries;
    await this.#tellSuccess(deliveries.flatMap(delivery => knownOf(delivery, done)));
    return deliveries.flatMap(delivery => {
      const left: number[] = [];
      for (const [i, { address }] of delivery.recipients.entries()) {
        const id = done.get(address.raw);
        const place = delivery.places[i];
        if (place === undefined) continue;
        if (id === undefined) left.push(i);
        else if (!this.#outcomes.has({ ...delivery, places: [place] })) {
          this.#outcomes.relayedBefore({ ...delivery, places: [place] }, address.raw, id);
          const data = { stored_as: id };
          const event = {
            at: this.#options.now(),
            kind: "duplicate",
            recipient: delivery.account.address,
            data,
          } as const;
          this.#options.store.recordEvents(id, this.#arrived.queueId, [event]);
        }
      }
      if (left.length === 0) return [];
      return [only(delivery, left)];
    });
  }

  /**
   * Never rejects: everybody has an outcome in the end.
   * @param given         without the blob: it is made durable only when somebody's copy stays here
   * @param withReceived  nobody else tells the timeline of the message
   */
  async deliver(
    accepted: readonly DecidedDelivery[],
    given: Omit<DeliveryFacts, "blob">,
    withReceived: boolean,
    deadline: Deadline,
  ): Promise<void> {
    try {
      const facts = withReceived || !given.hasFollowUp ? given : this.#asMessageOfItsOwn(given);
      const members = await planRelay(this.#options, facts, accepted, deadline);
      const ready = await this.#prepared(members, facts);
      const first = withReceived || facts !== given ? arrivalEvents(facts) : [];
      const groups = groupsOf(ready);
      await Promise.all(
        groups.map((group, i) => this.#relay(group, i === 0 ? first : [], facts.hasFollowUp, deadline)),
      );
    } catch (error) {
      const failure = toMairustError(error, "relay the message");
      for (const { delivery } of accepted)
        if (!this.#outcomes.has(delivery)) this.#outcomes.failed(delivery, failure);
    }
  }

  /** Where others of the transaction are stored: the job of each part is then for its own copies. */
  #asMessageOfItsOwn(facts: Omit<DeliveryFacts, "blob">): Omit<DeliveryFacts, "blob"> {
    const id = this.#options.newMessageId();
    this.#delivery = { ...this.#delivery, messageId: id };
    return { ...facts, message: { ...facts.message, id } };
  }

  /** @returns those who may go on: a copy that could not be kept fails its recipients alone */
  async #prepared(
    members: readonly RelayMember[],
    facts: Omit<DeliveryFacts, "blob">,
  ): Promise<readonly RelayMember[]> {
    const copies = members.flatMap(({ copy }) => copy ?? []);
    if (copies.length === 0) return members;
    try {
      const blob = await this.#arrived.message.staged.persist();
      await this.#options.records.prepare(heldMessage({ ...facts, blob }), copies);
      this.#options.onStep?.("pending");
      return members;
    } catch (error) {
      const failure = toMairustError(error, "keep a copy of relayed mail");
      for (const { decided, copy } of members)
        if (copy !== undefined) this.#outcomes.failed(decided.delivery, failure);
      return members.filter(({ copy }) => copy === undefined);
    }
  }

  async #relay(
    group: RelayGroup,
    first: readonly TimelineEvent[],
    hasFollowUp: boolean,
    deadline: Deadline,
  ): Promise<void> {
    const { members } = group;
    try {
      const sent = await this.#send(group, deadline);
      await this.#settle(group, sent, first, hasFollowUp);
    } catch (error) {
      const failure = toMairustError(error, "relay the message");
      await this.#dropCopies(members);
      for (const { decided } of members)
        if (!this.#outcomes.has(decided.delivery)) this.#outcomes.failed(decided.delivery, failure);
    }
  }

  async #send({ server, top, members }: RelayGroup, deadline: Deadline): Promise<Sent> {
    const { hops, records, onStep } = this.#options;
    const { envelope, message } = this.#arrived;
    const all = members
      .flatMap(({ decided: { delivery } }) =>
        delivery.places.map((place, i) => ({ place, recipient: delivery.recipients[i], delivery })),
      )
      .sort((a, b) => a.place - b.place);
    const given = all.flatMap(({ recipient }) => recipient ?? []);
    const recipients = all.map(({ recipient, delivery }) => ({
      raw: recipient?.address.raw ?? "",
      account: delivery.account.id,
    }));
    const bytes: RelayedContent = relayedContent(
      message.structure.headerHead,
      message.staged,
      top === undefined,
    );
    let relay: string | undefined;
    const replies = await hops.deliver(
      server,
      {
        ...envelope,
        recipients: given,
        top: Buffer.from(top ?? "", "utf8"),
        sizeBytes: bytes.sizeBytes,
        content: () => bytes.content(),
        onEnd: () => {
          relay = records.sending(
            this.#delivery,
            recipients.map(({ raw }) => raw),
          );
          onStep?.("relay_open");
        },
        onSent: () => onStep?.("relay_sent"),
      },
      deadline,
    );
    onStep?.("relayed");
    return { recipients, places: all.map(({ place }) => place), replies, relay };
  }

  async #settle(
    group: RelayGroup,
    sent: Sent,
    first: readonly TimelineEvent[],
    hasFollowUp: boolean,
  ): Promise<void> {
    const { records, store, onStep } = this.#options;
    const { members } = group;
    const events = [...first, ...members.flatMap(({ decided, events }) => [...decided.events, ...events])];
    events.push(...this.#replyEvents(group, sent));
    const taken = sent.recipients.filter((_, i) => isTaken(sent.replies[i]));
    this.#countTwice(taken);
    const unknown = sent.recipients.filter((_, i) => sent.replies[i] === undefined).map(({ raw }) => raw);
    if (taken.length === 0) {
      if (sent.relay !== undefined && unknown.length === 0) records.notSent(sent.relay);
      if (sent.relay !== undefined && unknown.length > 0) records.unknown(sent.relay, unknown);
      if (unknown.length === 0) await this.#dropCopies(members);
      store.recordEvents(this.#delivery.messageId, this.#delivery.queueId, events);
    } else {
      const copies = copiesOf(members, sent);
      const result = {
        ...this.#delivery,
        relay: sent.relay ?? "",
        taken,
        unknown,
        ...copies,
        hasFollowUp,
        events,
      };
      await records.record(result);
      onStep?.("relay_recorded");
      await this.#tellSuccess(members.flatMap(({ decided }) => this.#untold(decided.delivery, sent)));
    }
    this.#answer(group, sent);
  }

  /** The MTA leaves it to us. Who could not be told of now is answered 4xx: it comes again, and is known then. */
  async #tellSuccess(copies: readonly StoredCopy[]): Promise<void> {
    const failed = await tellSuccess(
      { successNotices: this.#options.successNotices, log: this.#options.log },
      this.#arrived,
      copies,
      "relayed",
    );
    for (const [delivery, error] of failed) this.#outcomes.failed(delivery, error);
  }

  #untold(delivery: AccountDelivery, { places, replies }: Sent): readonly StoredCopy[] {
    const taken = delivery.places.flatMap((place, i) => {
      const reply = replies[places.indexOf(place)];
      return isTaken(reply) && reply?.passesDsn !== true ? [i] : [];
    });
    return taken.length === 0 ? [] : [{ delivery: only(delivery, taken), id: this.#delivery.messageId }];
  }

  /** The window between the next hop's answer and its record: an earlier process, or connection, ended in it; perhaps several did. */
  #countTwice(taken: readonly RelayRecipient[]): void {
    const again = this.#options.records.takenAgain(
      this.#delivery,
      taken.map(one => one.raw),
    );
    for (const raw of again) {
      this.#options.onMaybeTwice();
      this.#options.log.warn("relayed perhaps a second time", {
        queue_id: this.#delivery.queueId,
        id: this.#delivery.messageId,
        to: raw,
      });
    }
  }

  #answer({ server, members }: RelayGroup, { recipients, places, replies }: Sent): void {
    const { messageId } = this.#delivery;
    const failed = members.flatMap(({ decided: { delivery } }) =>
      delivery.places.filter(place => this.#outcomes.has({ ...delivery, places: [place] })),
    );
    for (const [i, place] of places.entries()) {
      const reply = replies[i];
      const raw = recipients[i]?.raw ?? "";
      if (reply !== undefined && !failed.includes(place))
        this.#outcomes.relayed(place, raw, messageId, server, reply);
    }
    const open = members.filter(({ decided }) => !this.#outcomes.has(decided.delivery));
    if (open.length === 0) return;
    const text = `Cannot relay to "${server}": no answer to the end of the message, it may have been taken`;
    const error = new MairustError("store_unavailable", text, { publicText: "no answer from the next hop" });
    for (const { decided } of open) this.#outcomes.failed(decided.delivery, error);
  }

  #replyEvents(
    { server, members }: RelayGroup,
    { recipients, places, replies }: Sent,
  ): readonly TimelineEvent[] {
    const at = this.#options.now();
    return places.flatMap((place, i): readonly TimelineEvent[] => {
      const reply = replies[i];
      const raw = recipients[i]?.raw ?? "";
      const recipient = members.find(({ decided }) => decided.delivery.places.includes(place))?.decided
        .delivery.account.address;
      if (reply === undefined || recipient === undefined) return [];
      const { code, enhanced, text } = reply;
      const to = raw.toLowerCase() === recipient ? {} : { to: raw };
      if (!isTaken(reply)) {
        const kind = code < 500 ? "deferred" : "refused";
        return [{ at, kind, recipient, data: { code, text: `${enhanced} ${text}`.trim(), server, ...to } }];
      }
      const twice = this.#maybe.has(raw) ? { maybe_twice: true } : {};
      const data = {
        server,
        reply: [code, enhanced, text].filter(part => part !== "").join(" "),
        ...to,
        ...twice,
      };
      return [{ at, kind: "relayed", recipient, data }];
    });
  }

  /** What waits for a next hop that has nothing. Best effort: what stays is dropped when the delivery comes again, or is too old. */
  async #dropCopies(members: readonly RelayMember[]): Promise<void> {
    const drop = members.flatMap(({ copy }) => (copy === undefined ? [] : [copy.address]));
    if (drop.length === 0) return;
    try {
      await this.#options.records.drop(this.#delivery, drop);
    } catch (error) {
      this.#options.log.warn("copies of mail that was not relayed are left", {
        queue_id: this.#delivery.queueId,
        id: this.#delivery.messageId,
        error: toMairustError(error, "drop copies"),
      });
    }
  }
}

const isTaken = (reply: RelayReply | undefined) =>
  reply !== undefined && reply.code >= 200 && reply.code < 300;

function recipientsOf({ account, recipients }: AccountDelivery): readonly RelayRecipient[] {
  return recipients.map(({ address }) => ({ raw: address.raw, account: account.id }));
}

/** Some of its RCPTs. */
function only(delivery: AccountDelivery, which: readonly number[]): AccountDelivery {
  const recipients = which.flatMap(i => delivery.recipients[i] ?? []);
  return { ...delivery, recipients, places: which.flatMap(i => delivery.places[i] ?? []) };
}

/** Those of its RCPTs that the next hop has the message for. */
function knownOf(delivery: AccountDelivery, done: ReadonlyMap<string, MessageId>): readonly StoredCopy[] {
  return delivery.recipients.flatMap(({ address }, i) => {
    const id = done.get(address.raw);
    return id === undefined ? [] : [{ delivery: only(delivery, [i]), id }];
  });
}

/** One transaction for each server and each form of the bytes. */
function groupsOf(members: readonly RelayMember[]): readonly RelayGroup[] {
  const groups = new Map<string, RelayMember[]>();
  for (const member of members) {
    const key = JSON.stringify([member.server, member.top ?? null]);
    groups.set(key, [...(groups.get(key) ?? []), member]);
  }
  return [...groups.values()].flatMap(list => {
    const [first] = list;
    return first === undefined ? [] : [{ server: first.server, top: first.top, members: list }];
  });
}

/** A copy stays when the next hop took the message for one of its RCPTs; one of whom nobody knows waits on. */
function copiesOf(members: readonly RelayMember[], { places, replies }: Sent) {
  const keep: string[] = [];
  const drop: string[] = [];
  const replyAt = (place: number) => replies[places.indexOf(place)];
  const copied = members.flatMap(({ copy, decided }): { copy: RelayCopy; places: readonly number[] }[] =>
    copy === undefined ? [] : [{ copy, places: decided.delivery.places }],
  );
  for (const { copy, places: own } of copied) {
    if (own.some(place => isTaken(replyAt(place)))) keep.push(copy.address);
    else if (own.every(place => replyAt(place) !== undefined)) drop.push(copy.address);
  }
  return { keep, drop };
}
