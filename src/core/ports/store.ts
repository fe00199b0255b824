/** The write side of the store; `store/deliver.ts` implements it. */
import type { AccountId, BlobDigest, MailboxId, MessageId } from "../ids.ts";
import type { BlobRecord } from "./blobs.ts";
import type { HookWish } from "./hook-wish.ts";
import type { TimelineEvent } from "./timeline.ts";

/** System flags as bits of one small number, in RFC 3501 §2.3.2 order. */
export const FLAG_SEEN = 1;
export const FLAG_ANSWERED = 2;
export const FLAG_FLAGGED = 4;
export const FLAG_DELETED = 8;
export const FLAG_DRAFT = 16;

export interface FlagSet {
  /** OR of the FLAG_ bits. */
  readonly system: number;
  /** Keywords (tags among them), sorted, no doubles. */
  readonly keywords: readonly string[];
}

/** One message and all places it goes to; stored in one commit. */
export interface Delivery {
  readonly messageId: MessageId;
  readonly receivedAt: Date;
  /** Durable before this is handed over. */
  readonly blob: BlobRecord;
  /** `core/mime/packed.ts` bytes. */
  readonly structure: Uint8Array;
  /** Raw root header block of the blob incl. its empty line, when small enough; else undefined (read it from the blob). */
  readonly header: Uint8Array | undefined;
  readonly headerBytes: number;
  readonly messageIdHeader: string | undefined;
  /** Decoded, for lists and search; cut to 500 characters. */
  readonly subject: string;
  /** Decoded From field, cut to 500 characters. */
  readonly from: string;
  /** Thread key from References / In-Reply-To / Message-ID. */
  readonly threadKey: string | undefined;
  readonly attachments: number;
  /** "" when unknown: then there is nothing to recognise a redelivery by. */
  readonly queueId: string;
  readonly mailFrom: string;
  readonly targets: readonly DeliveryTarget[];
  /** A job that the commit makes when at least one copy is stored; its payload is `{}`, its message this one. */
  readonly followUp?: "post_receive" | undefined;
  /** Events of the whole message. */
  readonly events: readonly TimelineEvent[];
}

export interface DeliveryTarget {
  readonly accountId: AccountId;
  /** Canonical address of the account, for the timeline. */
  readonly recipient: string;
  /** Folder as the decision named it. */
  readonly mailbox: string;
  /** What to do when the account has no such mailbox. */
  readonly ifMissing: "create" | "inbox" | "fail";
  readonly flags: FlagSet;
  readonly internalDate: Date;
  /** Bytes in front of the blob for this entry only: Return-Path, Delivered-To, Received, hook headers (CRLF). */
  readonly prefix: Uint8Array;
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Recognise the same delivery again (LMTP); false for `msg add`. */
  readonly exactlyOnce: boolean;
  /** Whose wishes made flags, mailbox and metadata what they are; absent: nobody's. */
  readonly wishes?: readonly HookWish[];
  readonly events: readonly TimelineEvent[];
}

export type TargetResult =
  | { readonly kind: "stored"; readonly mailboxId: MailboxId; readonly mailbox: string; readonly uid: number }
  | { readonly kind: "duplicate"; readonly messageId: MessageId }
  | { readonly kind: "over_quota" }
  /** The account or (with `ifMissing: "fail"`) the mailbox is gone. */
  | { readonly kind: "gone" };

export interface MessageStore {
  /**
   * Store in one commit, together with what else waits (batcher). Resolves after the commit; results in the order of `targets`.
   * @throws {MairustError} `store_unavailable`, `internal`: nothing of this delivery is stored
   */
  deliver(delivery: Delivery): Promise<readonly TargetResult[]>;
  /** Which accounts got a queue id and digest already, within the redelivery window, and as which message. */
  alreadyDelivered(
    queueId: string,
    digest: BlobDigest,
    accounts: readonly AccountId[],
  ): Promise<ReadonlyMap<AccountId, MessageId>>;
  /** Record steps of a message that was not stored (refused, deferred). Best effort: a failure is logged by the store. */
  recordEvents(messageId: MessageId, queueId: string, events: readonly TimelineEvent[]): void;
}
