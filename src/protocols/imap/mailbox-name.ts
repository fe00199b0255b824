/** Names of mailboxes as commands give them. Pure. Source: RFC 3501 §5.1, RFC 9051 §5.1. */
import type { Lexer } from "./lexer.ts";
import { decodeUtf7, decodeUtf8 } from "./utf7.ts";

/** @throws {ImapSyntaxError} */
export function parseMailbox(lexer: Lexer): string {
  return mailboxName(nameText(lexer, lexer.astring()));
}

/** @param wire  a name, or a pattern of names @returns Unicode, composed as the store's names are @throws {ImapSyntaxError} */
export function nameText(lexer: Lexer, wire: Buffer): string {
  return (lexer.names === "utf8" ? decodeUtf8(wire) : decodeUtf7(wire)).normalize("NFC");
}

/** The name the store uses: INBOX in upper case, also as a parent (RFC 3501 §5.1). */
function mailboxName(name: string): string {
  return /^inbox(?=\/|$)/iu.test(name) ? `INBOX${name.slice(5)}` : name;
}
