/**
 * IMAP strings on the wire (RFC 3501 §4.3, §9): quoted where allowed, else a literal. Text is octets as characters, so one
 * string can hold the whole response and be turned into bytes at the end.
 *
 * NUL cannot occur in IMAP (§9 CHAR8 = %x01-ff): it is sent as 0x80, as Dovecot does. A line break left in a value (a
 * bare CR) is sent as a space.
 */
import { QUOTED_BYTES_MAX } from "./limits.ts";
import type { ByteText } from "./structure.ts";

/** quoted / literal. */
export function imapString(text: ByteText): ByteText {
  const safe = /[\0\r\n]/.test(text) ? text.replaceAll("\0", "\x80").replace(/[\r\n]/g, " ") : text;
  if (safe.length <= QUOTED_BYTES_MAX && /^[\t\x20-\x7e]*$/.test(safe)) {
    return `"${/["\\]/.test(safe) ? safe.replace(/["\\]/g, "\\$&") : safe}"`;
  }
  return `{${safe.length}}\r\n${safe}`;
}

/** string / NIL for undefined. */
export function imapNstring(text: ByteText | undefined): ByteText {
  return text === undefined ? "NIL" : imapString(text);
}
