/**
 * What is known of relayed mail: who the next hop took a message for, so that a redelivery is not relayed again, and the copies that
 * wait for its answer. `store/relay.ts` implements it over the database and a local journal.
 *
 * One relay goes `sending` (the end is about to be sent) → `record`, or `notSent`. A process that ends between the two leaves it open:
 * nobody knows whether the next hop took it, and it is sent again when it comes again.
 */
import type { AccountId, BlobDigest, MessageId } from "../ids.ts";
import type { HeldMessage } from "./holds.ts";
import type { DeliveryTarget } from "./store.ts";
import type { TimelineEvent } from "./timeline.ts";

/** A recipient of one delivery; recognised again by its address exactly as the MTA gave it. */
export interface RelayRecipient {
  readonly raw: string;
  readonly account: AccountId;
}

export interface RelayDelivery {
  readonly messageId: MessageId;
  /** "": nothing of it can be recognised. */
  readonly queueId: string;
  readonly digest: BlobDigest;
}

/** A copy beside that of the next hop. */
export interface RelayCopy {
  /** Of the account; also where there is none. */
  readonly address: string;
  readonly domain: string;
  /**
   * `mirror`: becomes an entry of the account's mailbox when the next hop took it. `hooks`: has no mailbox, lives as long as its job.
   */
  readonly kind: "mirror" | "hooks";
  /** Of `hooks` only tags (`flags.keywords`) count. */
  readonly target: DeliveryTarget;
}

export interface RelayResult extends RelayDelivery {
  /** Of `sending`. */
  readonly relay: string;
  /** Whom the next hop took it for. */
  readonly taken: readonly RelayRecipient[];
  /** No answer came: they stay open. */
  readonly unknown: readonly string[];
  /** Addresses of `prepare`d copies that are to stay, and of those that are to go. */
  readonly keep: readonly string[];
  readonly drop: readonly string[];
  /** Copies that stay leave a job for `post_receive`. */
  readonly hasFollowUp: boolean;
  readonly events: readonly TimelineEvent[];
}

export interface RelayPlace {
  readonly address: string;
  readonly mailbox: string;
  readonly uid: number;
}

export interface RelayKnown {
  /** Taken by the next hop before, or stored or held here: as which message. By `raw`. */
  readonly done: ReadonlyMap<string, MessageId>;
  /** Sent before, and nobody knows whether the next hop took it. By `raw`. */
  readonly maybe: ReadonlySet<string>;
}

export interface RelayRecords {
  /** @throws never for a database that is away: then what this node knows counts */
  known(delivery: RelayDelivery, recipients: readonly RelayRecipient[]): Promise<RelayKnown>;
  /**
   * Copies that wait for the next hop, in one commit with their message; what an earlier try of this delivery left waiting goes.
   * @param message  its blob is durable
   * @throws {MairustError} `store_unavailable`, `internal`: nothing is there
   */
  prepare(message: HeldMessage, copies: readonly RelayCopy[]): Promise<void>;
  /** The end is about to be sent. Known to this node alone. @returns its name */
  sending(delivery: RelayDelivery, recipients: readonly string[]): string;
  /** It was not sent after all, or everybody was refused. */
  notSent(relay: string): void;
  /** It was sent, and of these nobody knows. */
  unknown(relay: string, recipients: readonly string[]): void;
  /**
   * The next hop took it for these: earlier relays of which nobody knew the end are over. Before `record`: a process that ends between the
   * two leaves this relay open, so that each one is told once.
   * @returns those of each such relay, as often as there are relays: so many copies may be there too many
   */
  takenAgain(delivery: RelayDelivery, recipients: readonly string[]): readonly string[];
  /** The next hop did not take it for these accounts: their copies go. @throws {MairustError} `store_unavailable` */
  drop(delivery: RelayDelivery, addresses: readonly string[]): Promise<void>;
  /**
   * Record what the next hop took, durable: in the database, or in the local journal until that is back. Copies become entries.
   * @returns where copies came to lie; none when the database is away, or they were there before
   * @throws {MairustError} neither was possible: the relay stays open
   */
  record(result: RelayResult): Promise<readonly RelayPlace[]>;
}
