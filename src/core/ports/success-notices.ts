/**
 * Notices of success that senders asked for (RFC 3461 NOTIFY=SUCCESS): with DSN announced at LMTP the MTA leaves them to us.
 * `delivery/success-notices.ts` implements it over the outbox.
 */
import type { Envelope, EnvelopeRecipient } from "../envelope.ts";
import type { MessageId } from "../ids.ts";

export interface SuccessNotice {
  /** Of the delivery: told again it is sent once. */
  readonly messageId: MessageId;
  readonly receivedAt: Date;
  /** Raw; "": nobody is told. */
  readonly mailFrom: string;
  readonly dsn: Envelope["dsn"];
  /** Whose copy it was, canonical. */
  readonly account: string;
  /** The RCPTs that meant it: those of them that ask for it are told of. */
  readonly recipients: readonly EnvelopeRecipient[];
  /** `relayed`: given to a server that does not do this itself. */
  readonly action: "delivered" | "relayed";
  /** Root header block of the message, or its beginning. */
  readonly header: Uint8Array;
}

export interface SuccessNotices {
  /** After it resolves the notice is durable, if one is due. @throws {MairustError} `store_unavailable`, `too_many` */
  tell(notice: SuccessNotice): Promise<void>;
}
