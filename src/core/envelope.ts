/** What travels beside a message's bytes: addresses, recipients, the client, and what the next steps found out. */

/**
 * One address as received. Postfix accepts more than RFC 5321 allows (`a..b@x`, quoted local parts, no domain),
 * so `local` and `domain` are a split, not a validation.
 */
export interface MailAddress {
  /** Exactly as received between the angle brackets; "" is the null sender. */
  readonly raw: string;
  /** Local part, unquoted. */
  readonly local: string;
  /** Domain as received; "" when there is none. */
  readonly domain: string;
}

/** The null sender `<>` of bounces. */
export const NULL_SENDER: MailAddress = { raw: "", local: "", domain: "" };

/** One accepted RCPT TO, in order. The same mailbox may stand here twice: Postfix sends doubles when aliases meet. */
export interface EnvelopeRecipient {
  readonly address: MailAddress;
  /** RFC 3461 §4.2 ORCPT as received (`rfc822;user@host`), decoded from xtext. */
  readonly orcpt?: string;
  /** RFC 3461 §4.1 NOTIFY, upper case: NEVER or any of SUCCESS, FAILURE, DELAY. */
  readonly notify?: readonly string[];
}

/** The SMTP client behind Postfix, as XFORWARD told it; every field is absent when unknown. */
export interface ClientFacts {
  readonly name?: string;
  readonly address?: string;
  readonly port?: number;
  readonly helo?: string;
  readonly proto?: string;
  /** Postfix's queue id (XFORWARD IDENT). */
  readonly ident?: string;
  readonly source?: string;
}

export interface Envelope {
  readonly mailFrom: MailAddress;
  readonly recipients: readonly EnvelopeRecipient[];
  readonly client: ClientFacts;
  /** The peer that speaks LMTP to us: an address, or "unix". */
  readonly peer: string;
  /** LHLO name of that peer. */
  readonly peerHelo: string;
  /** RFC 3461 §4.3–4.4. */
  readonly dsn: { readonly ret?: "FULL" | "HDRS"; readonly envid?: string };
  /** SIZE parameter of MAIL FROM, octets. */
  readonly declaredSizeBytes?: number;
  readonly body8bit: boolean;
  readonly smtpUtf8: boolean;
}

/**
 * Split an address at its last `@`, unquoting the local part.
 * @param raw  text between the angle brackets of MAIL FROM or RCPT TO, without source route
 */
export function parseMailAddress(raw: string): MailAddress {
  if (raw === "") return NULL_SENDER;
  const at = raw.lastIndexOf("@");
  const localRaw = at < 0 ? raw : raw.slice(0, at);
  const domain = at < 0 ? "" : raw.slice(at + 1);
  const quoted = localRaw.length >= 2 && localRaw.startsWith('"') && localRaw.endsWith('"');
  const local = quoted ? localRaw.slice(1, -1).replace(/\\(.)/gsu, "$1") : localRaw;
  return { raw, local, domain };
}
