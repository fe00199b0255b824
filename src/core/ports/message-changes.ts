/** Stored messages as jobs see them, and changes of what is stored; `store/message-changes.ts` implements it. */
import type { ProvenanceEntry } from "../../wire/hook-payload.ts";
import type { ClientFacts } from "../envelope.ts";
import type { AccountId, BlobDigest, MessageId } from "../ids.ts";
import type { Stage } from "./directory.ts";
import type { HookWish } from "./hook-wish.ts";
import type { MessageChanges } from "./hooks.ts";
import type { AuthFacts } from "./sender-auth.ts";
import type { TimelineEvent } from "./timeline.ts";

/** What one account has of a message, all its copies together. */
export interface StoredCopy {
  readonly account: AccountId;
  /** Canonical. */
  readonly address: string;
  readonly domain: string;
  readonly stage: Stage;
  /** Tags among them. */
  readonly keywords: readonly string[];
  /** It was relayed, and is here only for its job: nothing of it can be changed. The account is perhaps none of ours. */
  readonly relayed?: number;
}

export interface StoredMessage {
  readonly messageId: MessageId;
  readonly queueId: string;
  readonly mailFrom: string;
  readonly receivedAt: Date;
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  /** `core/mime/packed.ts` bytes. */
  readonly structure: Uint8Array;
  /** Undefined: too large for its row, read it from the blob. */
  readonly header: Uint8Array | undefined;
  readonly headerBytes: number;
  readonly threadKey: string | undefined;
  /** As far as the timeline has it. */
  readonly client: ClientFacts;
  /** What our own checks said of the sender. */
  readonly senderAuth?: AuthFacts;
  /** By account id; empty when every copy is gone. */
  readonly copies: readonly StoredCopy[];
}

/** Whose wish a change is, for the timeline. */
export type ChangeAuthor = ProvenanceEntry & { readonly call_id?: string };

/** Accounts of one {@link ChangeRequest}: each is locked until the commit. */
export const MAX_CHANGE_ACCOUNTS = 100;

export interface ChangeRequest {
  readonly messageId: MessageId;
  /** At most {@link MAX_CHANGE_ACCOUNTS}; nobody else's copy is touched. */
  readonly accounts: readonly AccountId[];
  readonly changes: MessageChanges;
  readonly by: readonly ChangeAuthor[];
  /** The wishes behind it, for the journal; absent: it is not written there. */
  readonly wishes?: readonly HookWish[];
  /** Kind of the job that brings it, for the timeline. */
  readonly job: string;
  /** Written down in the same commit, before what was changed. */
  readonly events: readonly TimelineEvent[];
}

export interface ChangeResult {
  readonly account: AccountId;
  /** `unchanged`: all of it was so already, or cannot be. `no_copy`: the account has no copy of the message, or is gone. */
  readonly outcome: "changed" | "unchanged" | "no_copy";
}

/** Every method throws {@link MairustError} `store_unavailable`. */
export interface StoredMessages {
  /** @returns undefined when it was never stored, or is gone */
  find(id: MessageId): Promise<StoredMessage | undefined>;
  /** What was stored under a queue id since then, oldest first, at most `limit`; "" is no queue id. */
  findByQueueId(queueId: string, since: Date, limit: number): Promise<readonly MessageId[]>;
  /** The job of relayed copies has ended: they go. */
  dropRelayed(copies: readonly number[]): Promise<void>;
  /** Who has a copy, by id. */
  accountsOf(id: MessageId): Promise<readonly AccountId[]>;
  /**
   * Change every copy that these accounts have, in one commit. The same again changes nothing. What cannot be applied is written
   * down as not applicable, and the rest is applied.
   * @returns in the order of `accounts`
   */
  apply(request: ChangeRequest): Promise<readonly ChangeResult[]>;
}
