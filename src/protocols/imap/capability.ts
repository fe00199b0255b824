/**
 * What this server says it can do: only what works. ESEARCH and what includes it are left out for Dovecot on purpose: 2.3 maps
 * the sequence numbers of its answers wrongly and uses plain `UID SEARCH` without it. Source: RFC 3501 §7.2.1 and the RFC of
 * each name.
 */
import type { SessionContext } from "./context.ts";

interface Word {
  readonly word: string;
  /** When it is told; default: always. */
  readonly when?: "passwords_welcome" | "passwords_refused";
  /** To whom; default: everybody. */
  readonly on?: "client";
  /** What does not work is not told. */
  readonly built: boolean;
}

/** In the order in which they are told. */
const WORDS: readonly Word[] = [
  { word: "IMAP4rev1", built: true },
  { word: "SASL-IR", when: "passwords_welcome", built: true },
  { word: "AUTH=PLAIN", when: "passwords_welcome", built: true },
  { word: "LOGINDISABLED", when: "passwords_refused", built: true },
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
  { word: "CONDSTORE", built: false },
  { word: "ENABLE", built: false },
  { word: "QRESYNC", built: false },
  { word: "PREVIEW", built: true },
  { word: "OBJECTID", built: true },
  { word: "SORT", built: false },
  { word: "THREAD=REFERENCES", built: false },
  { word: "ESEARCH", on: "client", built: false },
  { word: "SEARCHRES", on: "client", built: false },
  { word: "IMAP4rev2", on: "client", built: true },
  { word: "BINARY", on: "client", built: true },
  { word: "MOVE", on: "client", built: true },
];

/** A logged-in session is told nothing of logins; without TLS off this host no password is welcome (RFC 3501 §6.2.3). */
export function capabilities(session: Pick<SessionContext, "account" | "secure" | "profile">): string {
  const { account, secure, profile } = session;
  const login = secure ? "passwords_welcome" : "passwords_refused";
  const told = WORDS.filter(
    ({ when, on, built }) =>
      built &&
      (when === undefined || (account === undefined && when === login)) &&
      (on === undefined || on === profile.kind),
  );
  return told.map(({ word }) => word).join(" ");
}
