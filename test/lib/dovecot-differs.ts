/**
 * Where Dovecot, cutting parts out of BODY[] itself, gives other octets than we do, and why ours are right.
 *
 *   close  a nested part ends with its own closing delimiter, and the next line is the outer delimiter: RFC 2046 §5.1.1
 *          gives the CRLF between them to the outer delimiter, Dovecot to the part
 *   break  a part has a header and no body: RFC 3501 §6.4.5 makes the empty line part of the MIME header, Dovecot takes its
 *          CRLF for the delimiter that follows
 *   none   a multipart in which no delimiter was found is text to us and has a part 1; to Dovecot it has no part at all. A
 *          message that is only a header has an empty part 1, whose MIME header Dovecot leaves out
 *   other  said beside the name
 */
import type { Section } from "./sections.ts";

export type Reason = "close" | "break" | "none" | "other";

/** Name of the message → reasons, one for each kind of difference in it. */
export const DOVECOT_DIFFERS: Readonly<Record<string, readonly Reason[]>> = {
  "no boundary at all": ["none"],
  "no boundary parameter": ["none"],
  "end boundary first": ["none"],
  "boundary that is the beginning of another": ["close"],
  "header-only parts": ["break"],
  "attached message without a header": ["break"],
  "attached multipart": ["close"],
  // Offsets of the text move with the line ends of the header, which Dovecot counts as CRLF.
  "header lines end in LF": ["other"],
  // Dovecot follows 100 levels; what lies deeper is text to it, with delimiters whose names go on.
  "nesting of 300": ["other"],
  "james-mime4j/mimetools-testmsgs__badbound.eml": ["none"],
  "james-mime4j/mimetools-testmsgs__double-bound.eml": ["break"],
  "james-mime4j/mimetools-testmsgs__double-semicolon.eml": ["none"],
  "james-mime4j/testmsgs__boundary-name-clash.eml": ["close"],
  "james-mime4j/testmsgs__missing-boundary.eml": ["none"],
  "james-mime4j/testmsgs__missing-inner-start-boundary.eml": ["close"],
  "james-mime4j/testmsgs__multipartdigestnestedemptyparts.eml": ["break"],
  "james-mime4j/testmsgs__multipartnestedemptyparts.eml": ["break"],
  "james-mime4j/testmsgs__multipartnestedemptypartsnorfc822.eml": ["break"],
  "james-mime4j/testmsgs__multipartnopart.eml": ["none"],
  "james-mime4j/testmsgs__very-long-boundary.eml": ["break"],
  "james-mime4j/testmsgs__very-very-long-boundary.eml": ["break"],
  "mikel-mail/attachment_emails__attachment_message_rfc822_inline_image.eml": ["break", "none"],
  "mikel-mail/error_emails__bad_date_header2.eml": ["break", "none"],
  "mikel-mail/error_emails__empty_in_reply_to.eml": ["none"],
  "mikel-mail/error_emails__missing_body.eml": ["none"],
  "mikel-mail/error_emails__must_supply_encoding.eml": ["none"],
  "mimekit/dkim__related.eml": ["close"],
  "mimekit/messages__body.4.eml": ["break"],
  "mimekit/messages__body.5.eml": ["break", "close"],
  "mimekit/messages__body.6.eml": ["break", "close"],
  "mimekit/messages__body.7.eml": ["break", "close"],
  "mimekit/messages__body.8.eml": ["break"],
  "mimekit/messages__body.9.eml": ["break"],
  "mimekit/messages__rfc2060.eml": ["close"],
  "nodemailer-mailparser/decoderended.eml": ["break"],
  "nodemailer-mailparser/nested.eml": ["close"],
  "postal-mime/mimetorture.eml": ["close"],
  "spamassassin-public/spam/00252.7e355e0c5fd1de609684544262435579.eml": ["close"],
  "spamassassin-public/spam/00293.f4e9fd5549f9063ad5559c094edf08f2.eml": ["close"],
  "spamassassin-public/spam/00338.a595ffbb6cbcf3a5058293051ebaabf4.eml": ["close"],
  "spamassassin-public/spam/00467.5b733c506b7165424a0d4a298e67970f.eml": ["none"],
  "spamassassin-tests/nice__mime3.eml": ["close"],
  "spamassassin-tests/nice__mime8.eml": ["close"],
  "spamassassin-tests/spam__015.eml": ["none"],
  "spamassassin-tests/spam__016.eml": ["none"],
  "spamassassin-tests/spam__017.eml": ["none"],
  "spamassassin-tests/spam__badmime2.eml": ["none"],
  "spamassassin-tests/spam__badmime3.eml": ["none"],
  "spamassassin-tests/spam__utf16.eml": ["close"],
  "stalwart-mail-parser/malformed__000.eml": ["break"],
  "stalwart-mail-parser/malformed__001.eml": ["break"],
  "stalwart-mail-parser/malformed__002.eml": ["none"],
  "stalwart-mail-parser/malformed__007.eml": ["break"],
  // delimiters with more than 70 characters that begin alike: Dovecot compares fewer of them
  "stalwart-mail-parser/malformed__016.eml": ["none", "other"],
  // a Content-Type without its semicolon: mended by us, text to Dovecot
  "stalwart-mail-parser/malformed__017.eml": ["other"],
  "stalwart-mail-parser/malformed__019.eml": ["break"],
  "stalwart-mail-parser/malformed__020.eml": ["break"],
  "stalwart-mail-parser/malformed__021.eml": ["break"],
  "stalwart-mail-parser/malformed__022.eml": ["close"],
  "stalwart-mail-parser/rfc__008.eml": ["close"],
  "stalwart-mail-parser/thirdparty__007.eml": ["close"],
  "stalwart-mail-parser/thirdparty__008.eml": ["close"],
  "stalwart-mail-parser/thirdparty__011.eml": ["break"],
  "stalwart-mail-parser/thirdparty__015.eml": ["close", "none"],
};

/** Whether a difference is of one of the kinds that are listed for its message. */
export function isKnown(name: string, { answer }: Section, expected: Buffer, got: Buffer): boolean {
  const reasons = DOVECOT_DIFFERS[name] ?? [];
  if (reasons.includes("other")) return true;
  // Offsets from the end move with the end.
  if (answer.includes("]<")) return reasons.length > 0;
  const crlf = Buffer.from("\r\n");
  if (got.equals(Buffer.concat([expected, crlf]))) return reasons.includes("close");
  if (expected.equals(Buffer.concat([got, crlf]))) return reasons.includes("break");
  return got.length === 0 && reasons.includes("none");
}
