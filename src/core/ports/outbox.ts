/**
 * Mail that the sidecar sends: handed to the MTA by a durable job, with a result for each recipient. `store/outbox.ts` keeps it,
 * `jobs/handlers/send-mail.ts` works it off.
 */
import type { Page, PageRequest } from "../admin-ports.ts";
import type { BlobDigest, MessageId } from "../ids.ts";
import type { HeldRecipient, HeldSession } from "./holds.ts";

/** `send`: of a user; the others are our own. */
export type OutgoingPurpose = "send" | "notice" | "dsn" | "alert";

export type OutgoingContent =
  /** A short one of our own, at most {@link MAX_OWN_MAIL_BYTES}; lines end with CRLF. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  /** Its blob is durable, and stays until the mail is done. */
  | { readonly kind: "blob"; readonly digest: BlobDigest; readonly sizeBytes: number };

export const MAX_OWN_MAIL_BYTES = 256 * 1024;

export interface OutgoingMail {
  readonly purpose: OutgoingPurpose;
  /** "": the null sender. */
  readonly mailFrom: string;
  /** At least one. */
  readonly recipients: readonly HeldRecipient[];
  readonly dsn?: HeldSession["dsn"];
  readonly content: OutgoingContent;
  /** Queued twice under one key it is sent once. */
  readonly key?: string;
  /** Of the timeline that its steps are told in. */
  readonly messageId?: MessageId;
}

export interface OutgoingResult {
  readonly recipient: string;
  readonly state: "waiting" | "taken" | "refused";
  /** The MTA's reply, or why it waits. */
  readonly reply: string;
  readonly at: Date | undefined;
}

export interface OutgoingRecord {
  readonly id: string;
  readonly purpose: OutgoingPurpose;
  readonly messageId: MessageId | undefined;
  readonly mailFrom: string;
  readonly state: "queued" | "done" | "failed";
  readonly results: readonly OutgoingResult[];
  readonly createdAt: Date;
}

export interface Outbox {
  /** After it resolves the mail is durable, and will be handed over or its failure recorded. @throws {MairustError} `store_unavailable` */
  queue(mail: OutgoingMail): Promise<{ readonly id: string; readonly already: boolean }>;
  /** @throws {MairustError} `not_found` */
  get(id: string): Promise<OutgoingRecord>;
  list(page: PageRequest): Promise<Page<OutgoingRecord>>;
}
