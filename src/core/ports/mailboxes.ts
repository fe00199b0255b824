/** The read side of the store, as IMAP needs it; `store/mailboxes.ts` implements it. */
import type { AccountId, BlobDigest, MailboxId, MessageId } from "../ids.ts";
import type { MailboxSnapshot } from "../mailbox-snapshot.ts";

export interface MailboxInfo {
  readonly id: MailboxId;
  /** Unicode, `/` separated; "INBOX" in upper case. */
  readonly name: string;
  /** RFC 6154 attribute such as `\Junk`, or undefined. */
  readonly specialUse: string | undefined;
  readonly subscribed: boolean;
  readonly uidValidity: number;
  readonly uidNext: number;
  readonly highestModseq: number;
  readonly messages: number;
  readonly unseen: number;
  readonly sizeBytes: number;
  /** Messages with \Deleted; only when wished for. */
  readonly deleted?: number;
}

/** What of a mailbox costs too much to be told always. */
export interface StatusWish {
  readonly deleted: boolean;
}

/** UIDs of messages that are there no more. */
export interface Vanished {
  /** False: the log of expunges does not reach back so far, and there may be more. */
  readonly complete: boolean;
  /** Ascending. */
  readonly uids: Uint32Array;
}

/** An opened mailbox: the holder closes it. */
export interface OpenMailbox {
  readonly info: MailboxInfo;
  /** Newest snapshot known to this node. No I/O. */
  snapshot(): MailboxSnapshot;
  /** Make sure the newest committed state is known, then return it. */
  refresh(): Promise<MailboxSnapshot>;
  /** What was expunged with `since` < MODSEQ ≤ `until`. One statement. */
  vanished(since: number, until: number): Promise<Vanished>;
  /** Called after a newer snapshot is there. At most one call per change batch. Returns the unsubscriber. */
  onChange(listener: () => void): () => void;
  close(): void;
}

/** Which columns a FETCH needs: ask for no more, each costs bytes. */
export interface RowFields {
  readonly structure?: boolean;
  readonly header?: boolean;
  readonly prefix?: boolean;
  /** {@link MessageRow.emailId} and `threadId`. */
  readonly objectIds?: boolean;
  readonly preview?: boolean;
}

export interface MessageRow {
  readonly uid: number;
  readonly messageId: MessageId;
  readonly internalDate: Date;
  /** Octets of prefix + blob = RFC822.SIZE. */
  readonly sizeBytes: number;
  readonly blob: BlobDigest;
  readonly blobSizeBytes: number;
  /** Octets of the root header block within the blob. */
  readonly headerBytes: number;
  readonly prefix?: Uint8Array;
  readonly structure?: Uint8Array;
  /** Absent when not asked for, null when too large for the row (read it from the blob). */
  readonly header?: Uint8Array | null;
  /** The same for the same octets of prefix and blob, wherever they are. RFC 8474 §5.1. */
  readonly emailId?: string;
  /** The same for what answers each other, within an account; null: it belongs to no thread. RFC 8474 §5.2. */
  readonly threadId?: string | null;
  /** RFC 8970; null: not made yet. */
  readonly preview?: string | null;
}

export interface MailboxListing {
  /** INBOX first, then by name. */
  readonly mailboxes: readonly MailboxInfo[];
  /** Names subscribed, also of mailboxes that are gone (RFC 3501 §6.3.9). */
  readonly subscriptions: readonly string[];
}

/**
 * Each method but `rows` sends at most one statement. `open` and `refresh` may send another when somebody else opens the mailbox at
 * the same time, or when what the node knows is older than the log of expunges.
 */
export interface MailboxReader {
  list(account: AccountId, wish?: StatusWish): Promise<MailboxListing>;
  /** @throws {MairustError} `not_found` */
  status(account: AccountId, name: string, wish?: StatusWish): Promise<MailboxInfo>;
  /** @throws {MairustError} `not_found` */
  open(account: AccountId, name: string): Promise<OpenMailbox>;
  /** As in {@link MailboxListing}. */
  subscriptions(account: AccountId): Promise<readonly string[]>;
  subscribe(account: AccountId, name: string, on: boolean): Promise<void>;
  /**
   * Rows of `uids`, which ascend, read in bounded pages. Vanished ones are left out.
   * One statement per page of at most {@link FETCH_PAGE} messages and about {@link FETCH_PAGE_BYTES} octets.
   */
  rows(
    mailbox: MailboxId,
    uids: Uint32Array | readonly number[],
    fields: RowFields,
  ): AsyncIterable<readonly MessageRow[]>;
}

/** Messages per page of {@link MailboxReader.rows}. */
export const FETCH_PAGE = 500;
/** Octets of the columns asked for that one such page has at most, its last row apart: a session holds no more than two of them. */
export const FETCH_PAGE_BYTES = 2_097_152;
