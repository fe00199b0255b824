/** What LMTP hands over; `delivery/intake.ts` implements it. */
import type { Deadline } from "../deadline.ts";
import type { Envelope, EnvelopeRecipient, MailAddress } from "../envelope.ts";
import type { MairustError } from "../errors.ts";
import type { MessageId } from "../ids.ts";
import type { ResolvedRecipient } from "./directory.ts";

/** Per-recipient answer of one transaction, in RCPT order. */
export type RecipientOutcome =
  | { readonly kind: "stored"; readonly already: boolean; readonly id: MessageId }
  /** Taken, and kept from the mailbox until somebody decides. Answered like `stored`. */
  | { readonly kind: "held"; readonly already: boolean; readonly id: MessageId }
  /** The next hop's answer: 2xx, taken for good, or its refusal. Passed on as it is. */
  | {
      readonly kind: "relayed";
      readonly code: number;
      readonly enhanced: string;
      readonly text: string;
      readonly id: MessageId;
    }
  /** Taken by the next hop when the same delivery came before. */
  | { readonly kind: "relayed_before"; readonly id: MessageId }
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
