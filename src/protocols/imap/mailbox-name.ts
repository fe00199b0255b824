/** Names of mailboxes as commands give them. Pure. Source: RFC 3501 §5.1. */
import type { Lexer } from "./lexer.ts";
import { decodeUtf7 } from "./utf7.ts";

/** @throws {ImapSyntaxError} */
export function parseMailbox(lexer: Lexer): string {
  return mailboxName(lexer.astring());
}

/** Wire octets to the name the store uses: Unicode, INBOX in upper case also as a parent (RFC 3501 §5.1). */
export function mailboxName(wire: Buffer): string {
  const name = decodeUtf7(wire);
  return /^inbox(?=\/|$)/iu.test(name) ? `INBOX${name.slice(5)}` : name;
}
