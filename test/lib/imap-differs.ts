/** Where our answers to FETCH, SEARCH and broken commands differ from Dovecot 2.3's, and why. What has no line here is an error of ours. */
import { packStructure, unpackStructure } from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";
import { DOVECOT_DIFFERS } from "./dovecot-differs.ts";
import type { Difference } from "./imap-compare.ts";
import type { NamedMessage } from "./torture.ts";

export interface Rule {
  readonly name: string;
  readonly why: string;
  covers(difference: Difference, message: NamedMessage): boolean;
}

const isStructure = ({ item }: Difference) =>
  item === "BODY" || item === "BODYSTRUCTURE" || item === "ENVELOPE";
const oneSpace = (text: string) => text.replace(/\s+/gu, " ").trim();

/** Part numbers of the message, as `1.2`. */
export function partNumbers({ bytes }: NamedMessage): readonly string[] {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  return unpackStructure(packStructure(scanner.end())).parts.flatMap(part =>
    part.path === undefined ? [] : [part.path.join(".")],
  );
}

/** Broken fields of single messages of the corpus. */
const NAMED: Readonly<Record<string, { readonly items: RegExp; readonly why: string }>> = {
  "mikel-mail/error_emails__content_transfer_encoding_with_semi_colon.eml": {
    items: /^BODY/u,
    why: "`quoted-printable;` is taken for quoted-printable; Dovecot tells nothing",
  },
  "mikel-mail/error_emails__missing_body.eml": {
    items: /^ENVELOPE/u,
    why: "`<Undisclosed-Recipient:@domain;>` is no address: all before the @ is told as its local part; Dovecot stops at the colon",
  },
  "mikel-mail/error_emails__multiple_invalid_content_dispositions.eml": {
    items: /^BODYSTRUCTURE/u,
    why: "of two dispositions, one broken, the readable one is told; Dovecot tells the broken one",
  },
  "mikel-mail/error_emails__weird_to_header.eml": {
    items: /^ENVELOPE/u,
    why: "what is no address gives none; Dovecot tells MISSING_MAILBOX at MISSING_DOMAIN for it",
  },
  "spamassassin-public/spam/00096.a791864be5f1205bf2cea0adf241b25a.eml": {
    items: /^ENVELOPE/u,
    why: "`<Undisclosed-Recipient:;@domain>` is no address (RFC 5322 §3.4): each reader tells what it made of it",
  },
  "spamassassin-public/spam/00297.3350c2dbbb0272c27b2c7773d7012356.eml": {
    items: /^ENVELOPE/u,
    why: "a colon in a local part: all of it is told; Dovecot tells what stands before the colon, at SYNTAX_ERROR",
  },
  "spamassassin-public/spam/00373.ebe8670ac56b04125c25100a36ab0510.eml": {
    items: /^ENVELOPE/u,
    why: "as 00297",
  },
  "mikel-mail/plain_emails__raw_email_with_at_display_name.eml": {
    items: /^ENVELOPE/u,
    why: "an @ in an unquoted name before <…> is part of the name; Dovecot takes it for an address and loses the next",
  },
};

export const FETCH_RULES: readonly Rule[] = [
  {
    name: "1 of a leaf",
    why: "RFC 3501 §6.4.5 gives part 1 to a message that is no multipart, not to every leaf; Dovecot takes n.1 of a leaf n for n",
    covers: ({ item, ours }, message) => {
      const path = /^BODY\[((?:\d+\.)+1)(?:\.MIME)?\]/u.exec(item)?.[1];
      return path !== undefined && ours === "" && !partNumbers(message).includes(path);
    },
  },
  {
    name: "comment",
    why: "an address without a phrase is named by a comment; no RFC says by which of two, Dovecot takes the last",
    covers: (difference, { bytes }) => {
      const { ours, theirs } = difference;
      const text = bytes.toString("latin1");
      return (
        isStructure(difference) && text.includes(`(${String(ours)})`) && text.includes(`(${String(theirs)})`)
      );
    },
  },
  {
    name: "white space",
    why: "unfolding takes the line break away and nothing else (RFC 5322 §2.2.3); Dovecot makes each run of white space one space",
    covers: difference => {
      const { ours, theirs } = difference;
      if (!isStructure(difference) || typeof ours !== "string" || typeof theirs !== "string") return false;
      return ours !== theirs && oneSpace(ours) === oneSpace(theirs);
    },
  },
  {
    name: "no MIME-Version",
    why: "much mail lacks the field and means its Content- fields all the same; Dovecot then reads Content-Type alone",
    covers: (difference, { bytes }) => {
      const { ours, theirs } = difference;
      const ignored = theirs === null || (theirs === "7bit" && typeof ours === "string");
      return isStructure(difference) && ignored && lacksMimeVersion(bytes);
    },
  },
  {
    name: "lines of a header",
    why: "an attached message that is only a header, without its empty line, has as many lines as line ends; Dovecot counts one more",
    covers: difference =>
      isStructure(difference) &&
      difference.path.at(-1) === 9 &&
      typeof difference.ours === "number" &&
      difference.theirs === difference.ours + 1,
  },
  {
    name: "encoded message",
    why: "message/rfc822 may not be in base64 or quoted-printable (RFC 2046 §5.2.1); read as it stands it would be nonsense, so it is opaque. To Dovecot its first lines are a header, and the delimiter's CRLF the empty line after it",
    covers: ({ item, ours, theirs }, { bytes }) =>
      /content-transfer-encoding: *(?:base64|quoted-printable)/iu.test(bytes.toString("latin1")) &&
      (item.startsWith("BODY[")
        ? ours === "" || (isDigest(bytes) && theirs === `${String(ours)}\r\n`)
        : beginsWith(ours, "application") && beginsWith(theirs, "message")),
  },
  {
    name: "empty line",
    why: "HEADER.FIELDS ends in an empty line unless the message has none (RFC 3501 §6.4.5); Dovecot always adds one",
    covers: ({ item, ours, theirs }) => /HEADER\.FIELDS/u.test(item) && theirs === `${String(ours)}\r\n`,
  },
  {
    name: "break",
    why: "a part that is only a header: its empty line belongs to the header (RFC 3501 §6.4.5); Dovecot takes its CRLF for the delimiter",
    covers: ({ item, ours, theirs }) => /\.(?:HEADER|MIME)\]/u.test(item) && ours === `${String(theirs)}\r\n`,
  },
  {
    name: "named",
    why: "said beside the name of the message",
    covers: ({ item }, { name }) => NAMED[name]?.items.test(item) ?? false,
  },
  {
    name: "parts",
    why: "the message is in dovecot-differs.ts: where a part ends, or whether there is one",
    covers: ({ item }, { name }) => item.startsWith("BODY") && name in DOVECOT_DIFFERS,
  },
  {
    name: "broken field",
    why: "a Content-Type without subtype or a Content-Disposition without a type is none (RFC 2045 §5.2); Dovecot tells empty words",
    covers: ({ ours, theirs }) => beginsWith(theirs, "") && (ours === null || beginsWith(ours, "text")),
  },
  {
    name: "encoding of two words",
    why: "of `Content-Transfer-Encoding: quoted printable`, or `text/html`, the first word is told; Dovecot tells nothing",
    covers: ({ ours, theirs }) => (ours === "quoted" || ours === "text") && theirs === "7bit",
  },
];

function beginsWith(value: Difference["ours"], word: string): boolean {
  return Array.isArray(value) && value[0] === word;
}

/** Its parts are messages without saying so. */
const isDigest = (bytes: Buffer) => /multipart\/digest/iu.test(bytes.toString("latin1"));

/** In the message itself or in one that is attached. */
function lacksMimeVersion(bytes: Buffer): boolean {
  const text = bytes.toString("latin1");
  const header = text.split("\r\n\r\n", 1)[0] ?? "";
  return !/^mime-version:/imu.test(header) || /message\/rfc822|multipart\/digest/iu.test(text);
}
