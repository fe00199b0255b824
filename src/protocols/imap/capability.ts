/**
 * What this server says it can do: only what works. ESEARCH and what includes it are left out for Dovecot on purpose: 2.3 maps
 * the sequence numbers of its answers wrongly and uses plain `UID SEARCH` without it. Source: RFC 3501 §7.2.1 and the RFC of
 * each name.
 */
import type { SessionContext } from "./context.ts";

interface Word {
  readonly word: string;
  /** When it is told; default: always. */
  readonly when?: "passwords_welcome" | "passwords_refused" | "tls_offered";
  /** To whom; default: everybody. */
  readonly on?: "client";
  /** Told where this part stands behind the server; default: always. */
  readonly with?: "order";
  /** What does not work is not told. */
  readonly built: boolean;
}

/** In the order in which they are told. */
const WORDS: readonly Word[] = [
  { word: "IMAP4rev1", built: true },
  { word: "SASL-IR", when: "passwords_welcome", built: true },
  { word: "AUTH=PLAIN", when: "passwords_welcome", built: true },
  { word: "LOGINDISABLED", when: "passwords_refused", built: true },
  { word: "STARTTLS", when: "tls_offered", built: true },
  { word: "LITERAL+", built: true },
  { word: "ID", built: true },
  { word: "NAMESPACE", built: true },
  { word: "UNSELECT", built: true },
  { word: "UIDPLUS", built: true },
  { word: "IDLE", built: true },
  { word: "WITHIN", built: true },
  { word: "CHILDREN", built: true },
  { word: "LIST-EXTENDED", built: true },
  { word: "LIST-STATUS", built: true },
  { word: "SPECIAL-USE", built: true },
  { word: "STATUS=SIZE", built: true },
  { word: "CONDSTORE", built: true },
  { word: "ENABLE", built: true },
  { word: "QRESYNC", built: true },
  { word: "PREVIEW", built: true },
  { word: "OBJECTID", built: true },
  { word: "SORT", with: "order", built: true },
  { word: "THREAD=REFERENCES", with: "order", built: true },
  { word: "ESEARCH", on: "client", built: true },
  { word: "SEARCHRES", on: "client", built: true },
  { word: "IMAP4rev2", on: "client", built: true },
  { word: "BINARY", on: "client", built: true },
  { word: "MOVE", on: "client", built: true },
];

type Told = Pick<SessionContext, "account" | "secure" | "profile"> &
  Partial<Pick<SessionContext, "offersTls" | "order">>;

/** A logged-in session is told nothing of logins; without TLS off this host no password is welcome (RFC 3501 §6.2.3). */
export function capabilities({ account, secure, profile, order, offersTls = false }: Told): string {
  const holds = {
    passwords_welcome: account === undefined && secure,
    passwords_refused: account === undefined && !secure,
    tls_offered: account === undefined && offersTls,
  };
  const parts = { order };
  const told = WORDS.filter(
    ({ when, on, with: part, built }) =>
      built &&
      (part === undefined || parts[part] !== undefined) &&
      (when === undefined || holds[when]) &&
      (on === undefined || on === profile.kind),
  );
  return told.map(({ word }) => word).join(" ");
}
