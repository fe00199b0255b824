/** Authentication of senders: what our own checks say of a message. `delivery/sender-auth.ts` implements it over a library. */
import type { Deadline } from "../deadline.ts";
import type { ClientFacts } from "../envelope.ts";
import type { ByteRange } from "./blobs.ts";

export type AuthResult =
  | "none"
  | "pass"
  | "fail"
  | "softfail"
  | "neutral"
  | "temperror"
  | "permerror"
  | "policy";

export interface AuthFact {
  readonly result: AuthResult;
  /** Printable, short: the domain that was checked, the selector, why. */
  readonly detail: string | null;
}

/** As payloads and the store have them. */
export interface AuthFacts {
  readonly spf: AuthFact;
  readonly dkim: AuthFact;
  readonly dmarc: AuthFact;
  readonly arc: AuthFact;
}

/** The bytes, as `MessageContent` of the hooks has them. */
export interface AuthContent {
  readonly sizeBytes: number;
  /** @throws {MairustError} `blob_missing`, `blob_damaged` (also while iterating) */
  read(range?: ByteRange): AsyncIterable<Uint8Array>;
}

export interface AuthSubject {
  readonly client: ClientFacts;
  /** Without angle brackets; "": the null sender. */
  readonly mailFrom: string;
  /** The whole message as received. */
  readonly content: AuthContent;
}

export interface AuthOutcome {
  readonly facts: AuthFacts;
  /** Value of the Authentication-Results field, our authserv-id first (RFC 8601 §2.2). */
  readonly header: string;
}

export interface SenderAuth {
  /** Nothing is checked (`sender_auth.checks` is empty). */
  readonly isOff: boolean;
  /** DKIM or ARC: all of the message must be here; else its header is enough. */
  readonly readsBody: boolean;
  /** Never rejects, and ends by the deadline: what could not be found out is `temperror`. */
  check(subject: AuthSubject, deadline: Deadline): Promise<AuthOutcome>;
  /** The value of an Authentication-Results field claims to be ours. */
  isOurs(value: string): boolean;
}

/** DKIM keys of our domains. */
export interface DkimSigner {
  /**
   * @param domain  of the sender, lower-case A-label
   * @param content the message as it will be sent
   * @returns header fields to put on top, with CRLF; "" when the domain has no key
   * @throws {MairustError} the key cannot be used; `blob_missing`, `blob_damaged`
   */
  sign(domain: string, content: AuthContent): Promise<string>;
}
