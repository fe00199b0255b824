/** Who decides about mail at the end of DATA, before the MTA accepts it; the milter listener asks through these. */
import type { Deadline } from "../deadline.ts";
import type { ClientFacts, EnvelopeRecipient, MailAddress } from "../envelope.ts";

/**
 * What the enabled hooks need. Asked once per connection, when the MTA negotiates: what nobody needs is never sent.
 * `headers` is also what removes X-MaiRust fields that come from outside.
 */
export interface MilterNeeds {
  readonly headers: boolean;
  /** A hook reads the body. */
  readonly body: boolean;
  /** A hook may hold the message: all of it must be here then. */
  readonly hold: boolean;
  /** Recipients may be added or removed. */
  readonly recipients: boolean;
  readonly replaceBody: boolean;
  /** The MTA may be told to keep the message in its own hold queue. */
  readonly quarantine: boolean;
}

/** A recipient that the MTA accepted. */
export interface MilterRecipient extends EnvelopeRecipient {
  /** ESMTP parameters of RCPT as received. */
  readonly args: readonly string[];
}

export type Direction = "inbound" | "outbound";

/** All that is known when the message's content begins; what the MTA did not tell is absent or "". */
export interface MilterEnvelope {
  readonly direction: Direction;
  /** What of the message comes: negotiated before, so hooks enabled since may miss something. */
  readonly content: "nothing" | "headers" | "whole";
  /** Edits that the MTA takes on this connection. */
  readonly edits: ReadonlySet<MilterEdit["kind"]>;
  readonly queueId: string;
  /** The MTA's host name (macro `j`). */
  readonly mta: string;
  readonly daemonName: string;
  /**
   * The client; `ident` is the queue id. Mail that was not taken by SMTP comes from Postfix as from `localhost`, `127.0.0.1`,
   * port 0.
   */
  readonly client: ClientFacts;
  readonly tls?: { readonly version: string; readonly certSubject?: string };
  readonly auth?: { readonly user: string; readonly mechanism?: string };
  readonly mailFrom: MailAddress;
  /** ESMTP parameters of MAIL as received. */
  readonly mailArgs: readonly string[];
  readonly recipients: readonly MilterRecipient[];
  readonly dsn: { readonly ret?: "FULL" | "HDRS"; readonly envid?: string };
  readonly declaredSizeBytes?: number;
  readonly body8bit: boolean;
  readonly smtpUtf8: boolean;
}

/** An edit of the accepted message. All are checked before the first is sent; one that is not allowed voids the decision. */
export type MilterEdit =
  /** Below all other fields. */
  | { readonly kind: "add_header"; readonly name: string; readonly value: string }
  /** `index` 0: above all others. */
  | { readonly kind: "insert_header"; readonly index: number; readonly name: string; readonly value: string }
  /** The `index`th field of that name as received, from 1; an empty value removes it. */
  | { readonly kind: "change_header"; readonly index: number; readonly name: string; readonly value: string }
  /** Without angle brackets. */
  | { readonly kind: "add_recipient" | "remove_recipient"; readonly address: string }
  /** Lines end with CRLF. At most one. */
  | { readonly kind: "replace_body"; readonly body: readonly Uint8Array[] }
  | { readonly kind: "quarantine"; readonly reason: string };

export type MilterDecision =
  | { readonly kind: "accept"; readonly edits: readonly MilterEdit[] }
  /** 4xx or 5xx, never 421 or 521. More than one line: a multi-line reply. */
  | {
      readonly kind: "refuse";
      readonly code: number;
      readonly enhanced: string;
      readonly lines: readonly string[];
    }
  /** The client is told that it was accepted; the MTA drops it. For mail that is held here, durable. */
  | { readonly kind: "discard" };

/** A field that was taken out because only we may set it. */
export type ReservedField = readonly [name: string, value: string];

/** One message on its way in. */
export interface MilterMessage {
  /** Trace id, printable and short: replies to the client end with it. "" when there is none. */
  readonly id: string;
  /**
   * Header fields, the empty line and the body, lines ending in CRLF, as received but for reserved fields and the MTA's own
   * Received field. A returned promise holds the MTA back. What it throws or rejects with becomes the answer at the end.
   */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** No further body is needed: the rest is not asked for, or dropped. */
  readonly full: boolean;
  /**
   * The message has ended. Asked once, and not when a write has failed.
   * @param reserved  X-MaiRust fields that were in the message, in order
   */
  decide(reserved: readonly ReservedField[], deadline: Deadline): Promise<MilterDecision>;
  /**
   * The message will not be accepted: the MTA went away or gave it up, something failed, or the decision could not be used. At most
   * once; also while `decide` runs, or after it. Never rejects.
   */
  abort(): Promise<void>;
}

export interface MilterDecider {
  needs(): MilterNeeds;
  /** A message begins: all recipients are known. @throws {MairustError} answered for at the end of the message */
  open(envelope: MilterEnvelope): MilterMessage;
}
