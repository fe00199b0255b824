/**
 * Mail that the sidecar sends: handed to the MTA by a durable job, with a result for each recipient. `store/outbox.ts` keeps it,
 * `jobs/handlers/send-mail.ts` works it off over `OutboxWork` (`store/outbox-work.ts`).
 */
import type { Page, PageRequest } from "../admin-ports.ts";
import type { BlobDigest, MessageId } from "../ids.ts";
import type { Account } from "./directory.ts";
import type { HeldMessage, HeldRecipient, HeldSession } from "./holds.ts";

/** `send`: of a user; the others are our own. */
export type OutgoingPurpose = "send" | "notice" | "dsn" | "alert";

export type OutgoingContent =
  /** A short one of our own, at most {@link MAX_OWN_MAIL_BYTES}; lines end with CRLF. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** Its blob is durable, and stays until the mail is done. `top`: header fields to put on top when it is sent, with CRLF. */
  | { readonly kind: "message"; readonly message: HeldMessage; readonly top: string };

export const MAX_OWN_MAIL_BYTES = 1024 * 1024;
/** Recipients of one mail: below what Postfix takes in one transaction (`smtpd_recipient_limit`). */
export const MAX_OUTGOING_RECIPIENTS = 500;

/** Mails that wait at a time, all together: beyond, whoever wants to queue one is told. */
export const MAX_QUEUED_MAILS = 20_000;
/** The job that hands one mail over; its payload is `{ outbox: id }`. */
export const SEND_MAIL_JOB = "send-mail";
/** Its runs: with the queue's back-off about five days, as long as an MTA keeps mail. */
export const SEND_MAIL_ATTEMPTS = 170;

/** What becomes of the copy in the sender's mailbox. `not_applicable`: the account's mail is not kept here. */
export type SentCopy = "stored" | "over_quota" | "gone" | "not_applicable";

export interface OutgoingMail {
  readonly purpose: OutgoingPurpose;
  /** "": the null sender. */
  readonly mailFrom: string;
  /** At least one, at most {@link MAX_OUTGOING_RECIPIENTS}. */
  readonly recipients: readonly HeldRecipient[];
  readonly dsn?: HeldSession["dsn"];
  readonly content: OutgoingContent;
  /** Queued twice under one key it is sent once. */
  readonly key?: string;
  /** Of the timeline that its steps are told in. */
  readonly messageId?: MessageId;
  /** Whose mailbox "Sent" gets a copy, in the commit that queues it; only with the content `message`. */
  readonly sentCopy?: { readonly account: Account; readonly isKept: boolean };
}

export interface OutgoingResult {
  readonly recipient: string;
  /** `canceled`: somebody ended the mail while it waited. */
  readonly state: "waiting" | "taken" | "refused" | "canceled";
  /** The MTA's reply, or why it waits, or who ended it. */
  readonly reply: string;
  readonly at: Date | undefined;
}

/** `failed`: for at least one recipient; `canceled`: somebody ended it for at least one. */
export type OutgoingState = "queued" | "done" | "failed" | "canceled";

export interface OutgoingRecord {
  readonly id: string;
  readonly purpose: OutgoingPurpose;
  readonly messageId: MessageId | undefined;
  readonly mailFrom: string;
  readonly state: OutgoingState;
  readonly results: readonly OutgoingResult[];
  readonly sentCopy: SentCopy | undefined;
  readonly jobId: number;
  readonly createdAt: Date;
  readonly endedAt: Date | undefined;
  /** Who ended it, when it is `canceled`. */
  readonly canceledBy: string | undefined;
}

export interface OutgoingFilter {
  readonly purpose: OutgoingPurpose | undefined;
  readonly state: OutgoingState | undefined;
}

export interface Outbox {
  /**
   * After it resolves the mail is durable, and will be handed over or its failure recorded.
   * @throws {MairustError} `store_unavailable`; `too_many`: too many wait already; `message_too_large`
   */
  queue(mail: OutgoingMail): Promise<{ readonly id: string; readonly already: boolean }>;
  /** @throws {MairustError} `not_found` */
  get(id: string): Promise<OutgoingRecord>;
  /** Newest first. */
  list(filter: OutgoingFilter, page: PageRequest): Promise<Page<OutgoingRecord>>;
  /** The mail that a message was sent as. */
  findByMessage(id: MessageId): Promise<OutgoingRecord | undefined>;
  /** Mails that wait, by purpose: for metrics. */
  countQueued(): Promise<ReadonlyMap<OutgoingPurpose, number>>;
}

/** One try to hand a mail over. */
export interface OutgoingAttempt {
  readonly id: string;
  readonly purpose: OutgoingPurpose;
  readonly messageId: MessageId | undefined;
  readonly mailFrom: string;
  readonly dsn: NonNullable<HeldSession["dsn"]>;
  readonly top: string;
  readonly content:
    | { readonly kind: "bytes"; readonly bytes: Uint8Array }
    | { readonly kind: "blob"; readonly digest: BlobDigest };
  /** The root header block of the message; undefined: it is too large to be kept, or the mail is our own. */
  readonly header: Uint8Array | undefined;
  readonly createdAt: Date;
  /** Those who still wait for it. */
  readonly waiting: readonly WaitingRecipient[];
  /** Recipients that were refused before. */
  readonly refused: readonly RefusedRecipient[];
  /** The last try began and nobody knows how it ended. */
  readonly interrupted: InterruptedAttempt | undefined;
}

export interface WaitingRecipient extends HeldRecipient {
  readonly ord: number;
  /** Why it waits; "": it was not tried yet. */
  readonly reply: string;
}

export interface RefusedRecipient extends HeldRecipient {
  readonly reply: string;
}

export interface InterruptedAttempt {
  /** The MTA's queue id: our milter saw the whole message. It may be queued there, or not. */
  readonly queueId: string | undefined;
  /** Recipients, raw, for whom the MTA surely has the message: it delivered something of this queue id. */
  readonly cameBackFor: readonly string[];
}

export interface AttemptResult {
  readonly ord: number;
  readonly recipient: string;
  readonly state: OutgoingResult["state"];
  readonly reply: string;
}

/** A mail that still waits though its job is no more: canceled, or dead. */
export interface AbandonedMail {
  readonly id: string;
  /** Who had its job canceled; undefined: the job failed for good. */
  readonly canceledBy: string | undefined;
}

export interface RecordOptions {
  /** Queued for its sender when nobody waits any more. */
  readonly notice?: OutgoingMail | undefined;
  /** Nothing is written down if its job is due again meanwhile. */
  readonly abandoned?: AbandonedMail | undefined;
  /** The one-time id of the try that it came of: one that began after it goes on. Undefined: of what went before any. */
  readonly token?: string | undefined;
}

export interface OutboxWork {
  /** @returns undefined: it has ended. @throws {MairustError} `store_unavailable`, as all methods */
  open(id: string): Promise<OutgoingAttempt | undefined>;
  /** From now on it may have been handed over. @returns the one-time id that it is submitted with; undefined: it has ended */
  begin(id: string): Promise<string | undefined>;
  /**
   * Write down what came of a try, in one commit with its events; when nobody waits any more the mail has ended, and the notice is
   * queued for its sender.
   * @returns whether it has ended
   */
  record(id: string, results: readonly AttemptResult[], options?: RecordOptions): Promise<boolean>;
  /** Some of the mails whose jobs are no more. */
  abandoned(): Promise<readonly AbandonedMail[]>;
  /** Delete records of mails that ended more than `keepDays` ago. @returns how many */
  deleteEnded(keepDays: number): Promise<number>;
}
