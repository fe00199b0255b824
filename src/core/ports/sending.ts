/** Mail that our users send by the API: `delivery/send-mail.ts` implements it over the outbox. */
import type { MessageId } from "../ids.ts";
import type { OutgoingResult, OutgoingState, SentCopy } from "./outbox.ts";

export interface AttachedFile {
  readonly filename: string;
  /** Undefined: by the name. */
  readonly contentType: string | undefined;
  readonly content: Uint8Array;
}

/** Addresses are as people write them: `taro@example.com`, `Taro <taro@example.com>`. */
export interface ComposedMail {
  readonly kind: "composed";
  readonly from: string;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  /** In no header field. */
  readonly bcc: readonly string[];
  readonly replyTo: readonly string[];
  readonly subject: string;
  /** At least one of both. */
  readonly text: string | undefined;
  readonly html: string | undefined;
  readonly attachments: readonly AttachedFile[];
  /** Message-IDs, with or without angle brackets. */
  readonly inReplyTo: string | undefined;
  readonly references: readonly string[];
}

export interface RawMail {
  readonly kind: "raw";
  /** A whole message; lines may end in LF. Bcc is taken out, Date and Message-ID are added where they are missing. */
  readonly content: AsyncIterable<Uint8Array>;
  /** Undefined: the address of its From field; else it must be the same. */
  readonly from: string | undefined;
  /** Empty: those of To, Cc and Bcc. */
  readonly to: readonly string[];
}

export interface SendAsked {
  readonly mail: ComposedMail | RawMail;
  /** The same request again is answered as before. `digest`: of all that it asks for, hex SHA-256; undefined: that of the message. */
  readonly idempotency: { readonly key: string; readonly digest: string | undefined } | undefined;
  /** Check it, and compose it; send and keep nothing. */
  readonly dryRun: boolean;
}

export interface SentMail {
  /** Of the outbox; undefined: held, or a dry run. */
  readonly id: string | undefined;
  readonly messageId: MessageId;
  readonly state: OutgoingState | "held" | "checked";
  /** A hook keeps it for approval. */
  readonly hold: string | undefined;
  readonly mailFrom: string;
  readonly results: readonly OutgoingResult[];
  readonly sentCopy: SentCopy | undefined;
  readonly sizeBytes: number;
  readonly createdAt: Date;
}

export interface MailSender {
  /**
   * After it resolves the mail is durable: it will be sent, or its failure recorded; or it is held.
   * @throws {MairustError} `not_permitted`: the sender is not one of ours, or a hook refuses it; `plugin_failed`: a hook defers it;
   *         `address_syntax`, `invalid_argument`, `data_invalid` (the message; another body under the same key), `message_too_large`,
   *         `too_many`, `invalid_state` (a request with this key runs), `store_unavailable`, `disk_full`, `deadline`
   */
  send(asked: SendAsked): Promise<SentMail>;
}

/** What a key was used for. */
export type KeyUse =
  /** Nobody used it. */
  | { readonly kind: "new"; readonly messageId: MessageId }
  /** Its process is gone; what it did has this id. */
  | { readonly kind: "resumed"; readonly messageId: MessageId }
  | { readonly kind: "answered"; readonly answer: unknown };

/** Requests with an Idempotency-Key; `store/idempotency.ts` implements it. */
export interface IdempotencyKeys {
  /**
   * @param digest  hex SHA-256 of what is asked for
   * @param id      of the message, if nobody used the key
   * @throws {MairustError} `data_invalid`: the key was used for something else; `invalid_state`: such a request runs
   */
  begin(scope: string, key: string, digest: string, id: MessageId): Promise<KeyUse>;
  /** Keep the answer. */
  finish(scope: string, key: string, answer: unknown): Promise<void>;
  /** Nothing was done: the key is free. */
  release(scope: string, key: string): Promise<void>;
}
