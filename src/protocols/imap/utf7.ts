/**
 * Names of mailboxes as clients write them: modified UTF-7, or UTF-8. `core/modified-utf7.ts` writes them. Pure.
 * Source: RFC 3501 §5.1.3, RFC 9051 §5.1.
 */
import { ImapSyntaxError } from "./syntax-error.ts";

/** How names of mailboxes travel: `utf8` once IMAP4rev2 is enabled, where `&` means itself. */
export type NameEncoding = "utf7" | "utf8";

/**
 * @param wire  a mailbox name as received; text that is no modified UTF-7 but valid UTF-8 is taken as UTF-8,
 *              since several clients send it so
 * @throws {ImapSyntaxError} neither of both
 */
export function decodeUtf7(wire: Buffer): string {
  if (wire.some(octet => octet > 0x7e)) return decodeUtf8(wire);
  const text = wire.toString("latin1");
  return text.includes("&") ? text.replace(/&([^-]*)(-?)/gu, decodeShift) : text;
}

/** How names travel once IMAP4rev2 is enabled. @throws {ImapSyntaxError} */
export function decodeUtf8(wire: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(wire);
  } catch {
    throw new ImapSyntaxError("Mailbox name is not valid UTF-8");
  }
}

function decodeShift(_: string, run: string, end: string): string {
  if (end === "") throw new ImapSyntaxError("Mailbox name has an unfinished UTF-7 sequence");
  if (run === "") return "&";
  if (!/^[A-Za-z0-9+,]+$/u.test(run)) throw new ImapSyntaxError("Mailbox name has an invalid UTF-7 sequence");
  const octets = Buffer.from(run.replaceAll(",", "/"), "base64");
  let text = "";
  for (let i = 0; i + 1 < octets.length; i += 2) text += String.fromCharCode(octets.readUInt16BE(i));
  return text;
}
