/**
 * Addresses of mail that is sent: as people write them → what an envelope and a header field take. What could end a line or a command is
 * refused here, so that nothing behind this file has to think of it.
 * Sources: RFC 5322 §3.4, RFC 5321 §4.5.3.1 (sizes), RFC 6532 §3.2 (UTF-8).
 */
import addressparser from "nodemailer/lib/addressparser";
import { type MailAddress, parseMailAddress } from "../core/envelope.ts";
import { MairustError } from "../core/errors.ts";

/** Octets: RFC 5321 §4.5.3.1.3, without the angle brackets. */
const MAX_ADDRESS_BYTES = 254;
/** Characters of an address with its name and a comment. */
const MAX_TEXT_CHARS = 1000;
/** Characters of a display name. */
const MAX_NAME_CHARS = 200;
/** No quoted local parts: nobody sends to them, and every parser reads them in its own way. */
const ADDRESS =
  /^[^\s<>()[\]\\,;:"@\p{Cc}\p{Cs}\u2028\u2029]+@[^\s<>()[\]\\,;:"@\p{Cc}\p{Cs}\u2028\u2029]+$/u;
/** `taro@x`, `Taro <taro@x>`, `"Yamada, Taro" <taro@x> (comment)`: what every parser reads in the same way. */
const ONE_MAILBOX =
  /^\s*(?:(?:"(?:[^"\\]|\\.)*"|[^"<>@,;:()\\])*<([^<>\s]+)>|([^\s<>"(),;:]+))\s*(?:\([^()\\]*\)\s*)?$/u;
const LINE_BREAKS = /[\p{Cc}\u2028\u2029]/u;

export interface Mailbox {
  readonly name: string;
  readonly address: MailAddress;
}

/** One address, with or without a name. @param what  for the error: "to". @throws {MairustError} `address_syntax` */
export function parseMailbox(text: string, what: string): Mailbox {
  const found = LINE_BREAKS.test(text) || text.length > MAX_TEXT_CHARS ? null : ONE_MAILBOX.exec(text);
  const [one, ...more] = found === null ? [] : addressparser(text, { flatten: true });
  const isSame = one !== undefined && more.length === 0 && one.address === (found?.[1] ?? found?.[2]);
  if (!isSame) throw noAddress(text, what);
  return mailbox(one, text, what);
}

/** All addresses of a header field, groups included. @throws {MairustError} `address_syntax` */
export function parseField(value: string, what: string): readonly Mailbox[] {
  return addressparser(value, { flatten: true }).map(one => mailbox(one, value, what));
}

function mailbox(
  { name, address }: { readonly name: string; readonly address: string },
  text: string,
  what: string,
): Mailbox {
  const isFit =
    ADDRESS.test(address) &&
    Buffer.byteLength(address) <= MAX_ADDRESS_BYTES &&
    name.length <= MAX_NAME_CHARS &&
    !LINE_BREAKS.test(name);
  if (!isFit) throw noAddress(text, what);
  return { name, address: parseMailAddress(address) };
}

function noAddress(text: string, what: string): MairustError {
  const shown = JSON.stringify(text.slice(0, MAX_ADDRESS_BYTES));
  const reason = `${what}: ${shown} is no address such as taro@example.com or Taro <taro@example.com>`;
  return new MairustError("address_syntax", `Cannot send: ${reason}`, { publicText: reason });
}

/** Each once, the first spelling stays. */
export function distinct(addresses: readonly MailAddress[]): readonly MailAddress[] {
  const seen = new Set<string>();
  return addresses.filter(({ raw }) => {
    const key = raw.toLowerCase();
    const isNew = !seen.has(key);
    seen.add(key);
    return isNew;
  });
}
