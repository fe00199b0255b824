/** Pure steps between an envelope and what the store gets: recipients by account, facts for hooks, rows for the commit. */
import type { Envelope, EnvelopeRecipient } from "../core/envelope.ts";
import type { BlobRecord } from "../core/ports/blobs.ts";
import type { Account, Domain, ResolvedRecipient } from "../core/ports/directory.ts";
import type { HookDecision, MessageFacts } from "../core/ports/hooks.ts";
import type { Delivery, DeliveryTarget, FlagSet } from "../core/ports/store.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import { deliveryPrefix } from "./prefix.ts";
import { messageColumns, type ReceivedMessage } from "./received-message.ts";

/** One account of a transaction; several RCPTs (aliases, other spellings, doubles) may mean it: it gets one copy. */
export interface AccountDelivery {
  readonly account: Account;
  readonly domain: Domain;
  readonly detail: string | undefined;
  /** The first RCPT that meant this account. */
  readonly recipient: EnvelopeRecipient;
}

/** Accounts in the order of their first RCPT. */
export function accountDeliveries(
  envelope: Envelope,
  resolved: readonly ResolvedRecipient[],
): readonly AccountDelivery[] {
  const byAccount = new Map<string, AccountDelivery>();
  resolved.forEach(({ account, domain, detail }, i) => {
    const recipient = envelope.recipients[i];
    if (recipient !== undefined && !byAccount.has(account.address)) {
      byAccount.set(account.address, { account, domain, detail, recipient });
    }
  });
  return [...byAccount.values()];
}

/** What hooks may be told (after their grants) of this message for this account. `all`: the accounts that it still goes to. */
export function messageFacts(
  message: ReceivedMessage,
  envelope: Envelope,
  queueId: string,
  delivery: AccountDelivery,
  all: readonly AccountDelivery[],
): MessageFacts {
  return {
    messageId: message.id,
    receivedAt: message.receivedAt,
    sizeBytes: message.staged.sizeBytes,
    queueId,
    direction: "inbound",
    stage: delivery.domain.stage,
    mailFrom: envelope.mailFrom.raw,
    recipients: [delivery.account.address],
    observed: new Set(),
    domainRecipients: all.filter(d => d.domain.name === delivery.domain.name).map(d => d.account.address),
    account: delivery.account.address,
    client: envelope.client,
    authUser: undefined,
    tls: undefined,
    header: message.structure.headerHead,
    threadKey: message.structure.threadKey,
    tags: [],
    structure: message.packed,
    content: message.staged,
  };
}

export interface DeliveryFacts {
  readonly message: ReceivedMessage;
  readonly blob: BlobRecord;
  readonly envelope: Envelope;
  readonly queueId: string;
  readonly hostname: string;
  readonly detailFolder: boolean;
  /** Hooks stand at `post_receive`: the commit makes their job. */
  readonly postReceive: boolean;
  readonly accepted: readonly {
    readonly delivery: AccountDelivery;
    readonly decision: HookDecision | undefined;
    /** Of the hooks that were called for it. */
    readonly events: readonly TimelineEvent[];
  }[];
}

export function buildDelivery(facts: DeliveryFacts): Delivery {
  const { message, envelope } = facts;
  return {
    ...messageColumns(message, facts.blob),
    queueId: facts.queueId,
    mailFrom: envelope.mailFrom.raw,
    events: [receivedEvent(facts)],
    targets: facts.accepted.map(one => deliveryTarget(facts, one)),
    ...(facts.postReceive ? { followUp: "post_receive" } : {}),
  };
}

function receivedEvent({ message, envelope, blob }: DeliveryFacts): TimelineEvent {
  return {
    at: message.receivedAt,
    kind: "received",
    data: {
      mail_from: envelope.mailFrom.raw,
      recipients: envelope.recipients.length,
      size_bytes: blob.sizeBytes,
      peer: envelope.peer,
      ...(envelope.client.address === undefined ? {} : { client_ip: envelope.client.address }),
      ...(envelope.client.name === undefined ? {} : { client_name: envelope.client.name }),
    },
  };
}

function deliveryTarget(
  facts: DeliveryFacts,
  { delivery, decision, events }: DeliveryFacts["accepted"][number],
): DeliveryTarget {
  const { message, envelope } = facts;
  const detail = facts.detailFolder && decision?.folder === undefined ? delivery.detail : undefined;
  return {
    accountId: delivery.account.id,
    recipient: delivery.account.address,
    mailbox: decision?.folder ?? detail ?? "INBOX",
    ifMissing: detail === undefined ? "create" : "inbox",
    flags: entryFlags(decision),
    internalDate: message.receivedAt,
    prefix: deliveryPrefix({
      envelope,
      recipient: delivery.account.address,
      hostname: facts.hostname,
      messageId: message.id,
      receivedAt: message.receivedAt,
      headers: decision?.headers ?? [],
    }),
    metadata: decision?.metadata ?? {},
    exactlyOnce: true,
    events,
  };
}

/** Tags are keywords of the entry, beside those that hooks set as flags. */
function entryFlags(decision: HookDecision | undefined): FlagSet {
  if (decision === undefined) return { system: 0, keywords: [] };
  return {
    system: decision.flags.system,
    keywords: [...new Set([...decision.tags, ...decision.flags.keywords])].sort(),
  };
}
