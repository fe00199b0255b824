/** Pure steps between an envelope and what the store gets: recipients by account, facts for hooks, rows for the commit. */
import type { Envelope, EnvelopeRecipient } from "../core/envelope.ts";
import type { BlobRecord } from "../core/ports/blobs.ts";
import type { Account, Domain, ResolvedRecipient, Stage } from "../core/ports/directory.ts";
import type { HeldMessage } from "../core/ports/holds.ts";
import type { HookDecision, MessageFacts } from "../core/ports/hooks.ts";
import type { AuthFacts } from "../core/ports/sender-auth.ts";
import type { Delivery, DeliveryTarget, FlagSet } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { authenticatedEvent } from "./milter-auth.ts";
import { deliveryPrefix } from "./prefix.ts";
import { messageColumns, type ReceivedMessage } from "./received-message.ts";

/** A message that LMTP has all bytes of. */
export interface ArrivedMessage {
  readonly message: ReceivedMessage;
  readonly envelope: Envelope;
  /** "" when nobody told it. */
  readonly queueId: string;
  /** What the milter found out about the sender. */
  readonly senderAuth?: AuthFacts;
}

/** What pre_receive came to for one account. */
export interface Judgement {
  readonly decision: HookDecision;
  /** The milter's, as it recorded it; undefined: found out here. */
  readonly carried: { readonly traceId: string; readonly verdict: CarriedVerdict } | undefined;
  readonly events: readonly TimelineEvent[];
}

/** One account of a transaction; several RCPTs (aliases, other spellings, doubles) may mean it: it gets one copy. */
export interface AccountDelivery {
  readonly account: Account;
  readonly domain: Domain;
  /** The one that counts. */
  readonly stage: Stage;
  readonly detail: string | undefined;
  /** The RCPTs that meant this account, at least one. */
  readonly recipients: readonly EnvelopeRecipient[];
  /** Theirs among all RCPTs. */
  readonly places: readonly number[];
}

/** Accounts in the order of their first RCPT. One that is meant by ways of different stages counts for each. */
export function accountDeliveries(
  envelope: Envelope,
  resolved: readonly ResolvedRecipient[],
): readonly AccountDelivery[] {
  const byAccount = new Map<string, AccountDelivery>();
  resolved.forEach(({ account, domain, stage, detail }, i) => {
    const recipient = envelope.recipients[i];
    if (recipient === undefined) return;
    const key = `${account.address}\0${stage}\0${stage === "store" ? "" : domain.relayLmtp}`;
    const known = byAccount.get(key) ?? { account, domain, stage, detail, recipients: [], places: [] };
    byAccount.set(key, {
      ...known,
      recipients: [...known.recipients, recipient],
      places: [...known.places, i],
    });
  });
  return [...byAccount.values()];
}

/** Nothing that a hook says is applied, and nothing that fails here may hold up its mail. */
export const isObserved = ({ stage }: AccountDelivery) => stage === "observe";

/** What both points are told of a message. */
function commonFacts({ message, envelope, queueId, senderAuth }: ArrivedMessage) {
  return {
    ...(senderAuth === undefined ? {} : { senderAuth }),
    messageId: message.id,
    receivedAt: message.receivedAt,
    sizeBytes: message.staged.sizeBytes,
    queueId,
    direction: "inbound",
    mailFrom: envelope.mailFrom.raw,
    client: envelope.client,
    authUser: undefined,
    tls: undefined,
    header: message.structure.headerHead,
    threadKey: message.structure.threadKey,
    structure: message.packed,
    content: message.staged,
  } as const;
}

/**
 * For pre_delivery: what hooks may be told (after their grants) of this message for this account.
 * @param all   the accounts that it still goes to
 * @param tags  that it has from pre_receive
 */
export function messageFacts(
  arrived: ArrivedMessage,
  delivery: AccountDelivery,
  all: readonly AccountDelivery[],
  tags: readonly string[],
): MessageFacts {
  return {
    ...commonFacts(arrived),
    stage: delivery.stage,
    recipients: [delivery.account.address],
    observed: new Set(isObserved(delivery) ? [delivery.account.address] : []),
    domainRecipients: all.filter(d => d.domain.name === delivery.domain.name).map(d => d.account.address),
    account: delivery.account.address,
    tags,
  };
}

/** For pre_receive at LMTP: all accounts at once, at least one. */
export function receiveFacts(arrived: ArrivedMessage, deliveries: readonly AccountDelivery[]): MessageFacts {
  const inObserve = deliveries.filter(isObserved);
  return {
    ...commonFacts(arrived),
    stage: deliveries[0]?.stage ?? "observe",
    recipients: deliveries.map(({ account }) => account.address),
    observed: new Set(inObserve.map(({ account }) => account.address)),
    account: undefined,
    tags: [],
  };
}

/** One account's copy, and all that was decided about it. */
export interface DecidedDelivery {
  readonly delivery: AccountDelivery;
  readonly received: Judgement | undefined;
  /** Of pre_delivery; undefined: it did not run. */
  readonly decision: HookDecision | undefined;
  /** Of the hooks that were called for it. */
  readonly events: readonly TimelineEvent[];
}

export interface DeliveryFacts extends ArrivedMessage {
  readonly blob: BlobRecord;
  readonly hostname: string;
  readonly detailFolder: boolean;
  /** The milter's trace id of this message. */
  readonly traceId: string | undefined;
  /** Hooks stand at post_receive. */
  readonly hasFollowUp: boolean;
}

export function buildDelivery(facts: DeliveryFacts, accepted: readonly DecidedDelivery[]): Delivery {
  return {
    ...heldMessage(facts),
    ...(facts.hasFollowUp ? { followUp: "post_receive" as const } : {}),
    targets: accepted.map(one => deliveryTarget(facts, one)),
  };
}

/** The message without its targets. */
export function heldMessage(facts: DeliveryFacts): HeldMessage {
  return {
    ...messageColumns(facts.message, facts.blob),
    queueId: facts.queueId,
    mailFrom: facts.envelope.mailFrom.raw,
    events: arrivalEvents(facts),
  };
}

type ArrivalFacts = Pick<DeliveryFacts, "message" | "envelope" | "traceId" | "senderAuth">;

/** Of the message, whoever it is for: that it came, and what is known of its sender. */
export function arrivalEvents(facts: ArrivalFacts): readonly TimelineEvent[] {
  const { senderAuth, message } = facts;
  const checked = senderAuth === undefined ? [] : [authenticatedEvent(senderAuth, message.receivedAt)];
  return [receivedEvent(facts), ...checked];
}

function receivedEvent({ message, envelope, traceId }: ArrivalFacts): TimelineEvent {
  return {
    at: message.receivedAt,
    kind: "received",
    data: {
      mail_from: envelope.mailFrom.raw,
      recipients: envelope.recipients.length,
      size_bytes: message.staged.sizeBytes,
      peer: envelope.peer,
      ...(envelope.client.address === undefined ? {} : { client_ip: envelope.client.address }),
      ...(envelope.client.name === undefined ? {} : { client_name: envelope.client.name }),
      ...(envelope.client.helo === undefined ? {} : { helo: envelope.client.helo }),
      ...(traceId === undefined ? {} : { trace_id: traceId }),
    },
  };
}

/** @param headers  default: all that hooks wanted */
export function deliveryTarget(
  facts: Omit<DeliveryFacts, "blob">,
  decided: DecidedDelivery,
  headers: HookDecision["headers"] = addedHeaders(decided),
): DeliveryTarget {
  const { delivery, received, decision, events } = decided;
  const detail = facts.detailFolder && decision?.folder === undefined ? delivery.detail : undefined;
  return {
    accountId: delivery.account.id,
    recipient: delivery.account.address,
    mailbox: decision?.folder ?? detail ?? "INBOX",
    ifMissing: detail === undefined ? "create" : "inbox",
    flags: entryFlags(received?.decision, decision),
    internalDate: facts.message.receivedAt,
    prefix: entryPrefix(facts, delivery, headers),
    metadata: { ...received?.decision.metadata, ...decision?.metadata },
    exactlyOnce: true,
    ...wishesOf(received?.decision, decision),
    events,
  };
}

function addedHeaders({ received, decision }: DecidedDelivery): HookDecision["headers"] {
  return [...(received?.decision.headers ?? []), ...(decision?.headers ?? [])];
}

export function entryPrefix(
  { message, envelope, hostname }: Omit<DeliveryFacts, "blob">,
  { account }: AccountDelivery,
  headers: HookDecision["headers"],
): Uint8Array {
  return deliveryPrefix({
    envelope,
    recipient: account.address,
    hostname,
    messageId: message.id,
    receivedAt: message.receivedAt,
    headers,
  });
}

function wishesOf(...decisions: readonly (HookDecision | undefined)[]): Pick<DeliveryTarget, "wishes"> {
  const wishes = decisions.flatMap(decision => decision?.wishes ?? []);
  return wishes.length === 0 ? {} : { wishes };
}

/** Tags are keywords of the entry, beside those that hooks set as flags. pre_delivery starts from the tags of pre_receive. */
function entryFlags(received: HookDecision | undefined, decision: HookDecision | undefined): FlagSet {
  const tags = (decision ?? received)?.tags ?? [];
  const flags = [received, decision].flatMap(one => one?.flags.keywords ?? []);
  return {
    system: (received?.flags.system ?? 0) | (decision?.flags.system ?? 0),
    keywords: [...new Set([...tags, ...flags])].sort(),
  };
}
