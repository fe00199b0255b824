/**
 * The interfaces between folders. What one folder needs of another stands here and is put in by `compose.ts`;
 * no folder imports another's implementation.
 */
import type { Deadline } from "./deadline.ts";
import type { ClientFacts, Envelope, EnvelopeRecipient, MailAddress } from "./envelope.ts";
import type { MairustError } from "./errors.ts";
import type { AccountId, BlobDigest, MailboxId, MessageId } from "./ids.ts";

// ---------------------------------------------------------------- log

/** Values that may stand in a log line: never bodies, subjects or secrets. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined | Error>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A log whose lines all carry `fields` (e.g. `queue_id`). */
  child(fields: LogFields): Log;
}

// ---------------------------------------------------------------- blobs

/** Half-open octet range `[start, end)` of a blob's logical (uncompressed) bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** What the database records of a durable blob. */
export interface BlobRecord {
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly codec: "none" | "brotli";
}

/** Takes a message's bytes as they arrive; memory stays bounded whatever the size. */
export interface BlobStage {
  /** @returns a promise when the writer must wait (back-pressure), else undefined. Errors: `disk_full`. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** No more bytes: the digest is known, nothing is durable yet. */
  finish(): Promise<StagedBlob>;
  /** Drop everything. Safe in any state, never throws. */
  abort(): Promise<void>;
}

export interface StagedBlob {
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  /** Read before (or after) `persist`. */
  read(range?: ByteRange): AsyncIterable<Uint8Array>;
  /** Make it durable: fsynced under its final name, directory too. May be called more than once. Errors: `disk_full`. */
  persist(): Promise<BlobRecord>;
  /** Release what is only temporary; a persisted blob stays. Never throws. */
  discard(): Promise<void>;
}

export interface BlobStore {
  stage(): BlobStage;
  /** @throws {MairustError} `blob_missing`, `blob_damaged` (also while iterating) */
  get(digest: BlobDigest, range?: ByteRange): AsyncIterable<Uint8Array>;
  head(digest: BlobDigest): Promise<BlobRecord | undefined>;
  /** Idempotent. */
  delete(digest: BlobDigest): Promise<void>;
  /** Hash the stored bytes again. @throws `blob_missing`, `blob_damaged` */
  verify(digest: BlobDigest): Promise<void>;
  /** Octets free for new blobs. */
  freeBytes(): Promise<number>;
}

// ---------------------------------------------------------------- directory: domains and accounts

export type Stage = "observe" | "hooks" | "mirror" | "store";

export interface Domain {
  /** Lower-case A-label. */
  readonly name: string;
  readonly tenant: string;
  readonly stage: Stage;
  readonly accounts: "auto" | "listed";
  readonly quotaBytes: number;
}

export interface Account {
  readonly id: AccountId;
  /** Canonical `local@domain`, lower case, NFC. */
  readonly address: string;
  readonly domain: string;
  /** 0: no limit. */
  readonly quotaBytes: number;
  readonly usedBytes: number;
  readonly usedMessages: number;
}

/** Where mail for one RCPT goes. `detail` is the sub-address (`user+detail@`). */
export interface ResolvedRecipient {
  readonly account: Account;
  readonly domain: Domain;
  readonly detail?: string;
}

export interface Directory {
  /**
   * Find the account of a recipient: exact address, alias, then without `+detail`; creates it in an `auto` domain.
   * @throws {MairustError} `unknown_domain`, `unknown_account`, `store_unavailable`
   */
  resolveRecipient(address: MailAddress): Promise<ResolvedRecipient>;
  /** As above, but never creates and returns undefined for unknown ones. */
  findAccount(address: MailAddress): Promise<ResolvedRecipient | undefined>;
}

// ---------------------------------------------------------------- timeline

/** One step in the life of a message; `kind` is one of {@link EventKind}. */
export interface TimelineEvent {
  readonly at: Date;
  readonly kind: EventKind;
  /** Canonical address the event is about; absent: the whole message. */
  readonly recipient?: string;
  /** JSON data; text from mail is data, shown escaped everywhere. */
  readonly data: Readonly<Record<string, unknown>>;
}

export type EventKind =
  | "received"
  | "hook_call"
  | "decision"
  | "stored"
  | "duplicate"
  | "refused"
  | "deferred"
  | "added"
  | "job";

// ---------------------------------------------------------------- store: write side

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
  /** Events of the whole message. */
  readonly events: readonly TimelineEvent[];
}

export interface DeliveryTarget {
  readonly accountId: AccountId;
  /** Canonical address of the account: the recipient's part of the redelivery key. */
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
  readonly quotaBytes: number;
  /** Recognise the same delivery again (LMTP); false for `msg add`. */
  readonly exactlyOnce: boolean;
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
  /** Which recipients of a queue id and digest were stored already, within the redelivery window: canonical address → message. */
  alreadyDelivered(
    queueId: string,
    digest: BlobDigest,
    recipients: readonly string[],
  ): Promise<ReadonlyMap<string, MessageId>>;
  /** Record steps of a message that was not stored (refused, deferred). Best effort: a failure is logged by the store. */
  recordEvents(messageId: MessageId, queueId: string, events: readonly TimelineEvent[]): void;
}

// ---------------------------------------------------------------- store: IMAP read side

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
}

/**
 * One immutable state of a mailbox, shared by all sessions that saw it. Index i (0-based) is sequence number i + 1.
 */
export interface MailboxSnapshot {
  readonly mailboxId: MailboxId;
  readonly uidValidity: number;
  readonly uidNext: number;
  readonly highestModseq: number;
  /** Ascending. */
  readonly uids: Uint32Array;
  /** Index into `flagSets`, one per uid. */
  readonly flagIds: Uint16Array;
  /** Interned per mailbox, append-only: an id means the same in every later snapshot. */
  readonly flagSets: readonly FlagSet[];
}

/** An opened mailbox: the holder closes it. */
export interface OpenMailbox {
  readonly info: MailboxInfo;
  /** Newest snapshot known to this node. No I/O. */
  snapshot(): MailboxSnapshot;
  /** Make sure the newest committed state is known, then return it. */
  refresh(): Promise<MailboxSnapshot>;
  /** Called after a newer snapshot is there. At most one call per change batch. Returns the unsubscriber. */
  onChange(listener: () => void): () => void;
  close(): void;
}

/** Which columns a FETCH needs: ask for no more, each costs bytes. */
export interface RowFields {
  readonly structure?: boolean;
  readonly header?: boolean;
  readonly prefix?: boolean;
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
  readonly prefixBytes: number;
  readonly prefix?: Uint8Array;
  readonly structure?: Uint8Array;
  /** Absent when not asked for, null when too large for the row (read it from the blob). */
  readonly header?: Uint8Array | null;
}

export interface MailboxReader {
  list(account: AccountId): Promise<readonly MailboxInfo[]>;
  /** @throws {MairustError} `not_found` */
  status(account: AccountId, name: string): Promise<MailboxInfo>;
  /** @throws {MairustError} `not_found` */
  open(account: AccountId, name: string): Promise<OpenMailbox>;
  /** Names subscribed, also of mailboxes that are gone (RFC 3501 §6.3.9). */
  subscriptions(account: AccountId): Promise<readonly string[]>;
  subscribe(account: AccountId, name: string, on: boolean): Promise<void>;
  /**
   * Rows of `uids` in ascending order, read in bounded pages. Vanished ones are left out.
   * One statement per page of at most {@link FETCH_PAGE} messages.
   */
  rows(
    mailbox: MailboxId,
    uids: Uint32Array | readonly number[],
    fields: RowFields,
  ): AsyncIterable<readonly MessageRow[]>;
}

/** Messages per page of {@link MailboxReader.rows}. */
export const FETCH_PAGE = 500;

// ---------------------------------------------------------------- login

export interface LoginRequest {
  /** Who authenticates. */
  readonly user: string;
  readonly password: string;
  /** Whose mail (SASL authorization identity); "" = `user`. */
  readonly authorize: string;
  /** Address of the peer, or "unix". */
  readonly peer: string;
}

export interface Authenticator {
  /** @throws {MairustError} `auth_failed`, `store_unavailable`, `too_many` (throttled) */
  login(request: LoginRequest): Promise<Account>;
}

// ---------------------------------------------------------------- intake: what LMTP hands over

/** Per-recipient answer of one transaction, in RCPT order. */
export type RecipientOutcome =
  | { readonly kind: "stored"; readonly already: boolean; readonly id: MessageId }
  /** A verdict of a hook: code and text are checked already. */
  | {
      readonly kind: "refused";
      readonly code: number;
      readonly enhanced: string;
      readonly text: string;
      readonly id: MessageId;
    }
  | { readonly kind: "failed"; readonly error: MairustError; readonly id: MessageId };

/** The bytes of one message on their way in. */
export interface IntakeStream {
  /** Postfix's queue id where known by now, for the log. */
  readonly queueId: string;
  /** Message bytes exactly as they are to be stored (un-stuffed, without the final dot). Back-pressure as {@link BlobStage.write}. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** All bytes are in. Never rejects: every recipient gets an outcome, in order; after it resolves with `stored` the message is durable. */
  finish(deadline: Deadline): Promise<readonly RecipientOutcome[]>;
  /** The peer went away or broke a limit: drop what was staged. Never rejects. */
  abort(): Promise<void>;
}

export interface MessageIntake {
  /**
   * May this recipient be accepted? Resolves with an opaque token that comes back in `open`.
   * @throws {MairustError} `unknown_domain`, `unknown_account`, `over_quota`, `store_unavailable`, `draining`
   */
  checkRecipient(recipient: EnvelopeRecipient, mailFrom: MailAddress): Promise<ResolvedRecipient>;
  /** Start taking a message. `resolved[i]` belongs to `envelope.recipients[i]`. @throws `disk_full`, `draining` */
  open(envelope: Envelope, resolved: readonly ResolvedRecipient[]): IntakeStream;
}

// ---------------------------------------------------------------- hooks

export type HookPoint = "pre_receive" | "pre_delivery" | "post_receive" | "pre_send";

/** What is known of a message when hooks run: the only source that payloads are built from. */
export interface MessageFacts {
  readonly messageId: MessageId;
  readonly receivedAt: Date;
  readonly sizeBytes: number;
  readonly queueId: string;
  readonly direction: "inbound" | "outbound";
  readonly stage: Stage;
  readonly mailFrom: string;
  /** Recipients in scope of this call, as canonical addresses. */
  readonly recipients: readonly string[];
  readonly account: string | undefined;
  readonly client: ClientFacts;
  readonly authUser: string | undefined;
  /** Raw root header block (all of it, up to the scanner's cap). */
  readonly header: Uint8Array;
  readonly threadKey: string | undefined;
  readonly tags: readonly string[];
  /** `core/mime/packed.ts` bytes. */
  readonly structure: Uint8Array;
  /** The message's bytes; the same object for every call about the same transaction. */
  readonly content: StagedBlob;
  /**
   * All recipients of the transaction in the domain of `recipients`, for hooks with `per_recipient = false`: one call serves
   * them all. Absent: each call stands alone.
   */
  readonly domainRecipients?: readonly string[];
}

export type FinalAction = "deliver" | "reject" | "tempfail" | "hold";

/** The merged outcome of one hook point for one recipient (or transaction). */
export interface HookDecision {
  readonly action: FinalAction;
  /** Set for reject and tempfail. */
  readonly reply: { readonly code: number; readonly enhanced: string; readonly text: string } | undefined;
  readonly folder: string | undefined;
  readonly tags: readonly string[];
  /** Keywords and system flags to set. */
  readonly flags: FlagSet;
  /** Namespaced keys `plugin:<id>:<key>`. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Header fields to add, in order; `X-MaiRust-Skipped` marks among them. */
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>;
  readonly events: readonly TimelineEvent[];
}

export interface HookRunner {
  /** True when at least one enabled hook stands at the point: the caller can skip building facts. */
  has(point: HookPoint): boolean;
  /**
   * Run the chain of one point. Never rejects for what a plugin does: failures go through each hook's policy.
   * The deadline is the whole chain's; hooks cut by it follow their own `on_timeout`.
   */
  run(point: HookPoint, facts: MessageFacts, deadline: Deadline): Promise<HookDecision>;
}

// ---------------------------------------------------------------- plugin transports

/** One way to call a plugin: script worker, http, unix socket … All give the same results (conformance suite). */
export interface PluginTransport {
  start(deadline: Deadline): Promise<void>;
  /**
   * Send one payload (one JSON document, no line break) and return the raw answer bytes.
   * @throws {MairustError} `deadline` (the call was cut and its process ended), `plugin_failed` (crash, closed, flood, bad framing)
   */
  call(payload: Uint8Array, deadline: Deadline): Promise<Uint8Array>;
  health(): Promise<{ readonly status: "ok" | "degraded" | "error"; readonly detail?: string }>;
  /** Finish running calls until the deadline, then end every process. */
  stop(deadline: Deadline): Promise<void>;
}

// ---------------------------------------------------------------- adding one message without hooks

/** `msg add`: stores bytes exactly as they are, no field added, no hooks, no redelivery check. */
export interface MessageAdder {
  /** @throws {MairustError} `not_found` (mailbox), `over_quota`, `message_too_large`, `disk_full`, `store_unavailable` */
  add(request: AddRequest): Promise<AddedMessage>;
}

export interface AddRequest {
  readonly account: Account;
  readonly mailbox: string;
  readonly flags: FlagSet;
  readonly internalDate: Date;
  /** Message bytes; bare LF line ends are kept as they are. */
  readonly content: AsyncIterable<Uint8Array>;
}

export interface AddedMessage {
  readonly messageId: MessageId;
  readonly mailbox: string;
  readonly uid: number;
  readonly sizeBytes: number;
}
