/**
 * ENVELOPE, BODYSTRUCTURE and BODY as they go over the wire (RFC 3501 §7.4.2, §9). Rendered once at delivery and stored
 * (packed.ts), so FETCH copies bytes. Every tree gives valid syntax; nothing fails.
 */
import { type Address, type Mailbox, parseAddressList } from "./address.ts";
import { imapNstring, imapString } from "./imap-string.ts";
import { ENVELOPE_ADDRESSES_MAX } from "./limits.ts";
import type { ByteText, Disposition, EnvelopeFields, MimePart, Parameter } from "./structure.ts";

/** What stands where an address lacks a half. NIL would mean group syntax; Dovecot sends the same words. */
const MISSING_MAILBOX = "MISSING_MAILBOX";
const MISSING_DOMAIN = "MISSING_DOMAIN";

function renderMailbox(address: Mailbox): ByteText {
  const mailbox = address.mailbox === "" ? MISSING_MAILBOX : address.mailbox;
  const host = address.host === "" ? MISSING_DOMAIN : address.host;
  return `(${imapNstring(address.name)} ${imapNstring(address.route)} ${imapString(mailbox)} ${imapString(host)})`;
}

/** A group is its name with a NIL host, the members, and an entry of NILs (RFC 3501 §7.4.2). */
function renderAddress(address: Address): ByteText {
  if (address.kind === "mailbox") return renderMailbox(address);
  const members = address.members.map(renderMailbox).join("");
  return `(NIL NIL ${imapString(address.name)} NIL)${members}(NIL NIL NIL NIL)`;
}

function renderAddresses(value: ByteText | undefined): ByteText {
  if (value === undefined) return "NIL";
  const list = parseAddressList(value, ENVELOPE_ADDRESSES_MAX);
  return list.length === 0 ? "NIL" : `(${list.map(renderAddress).join("")})`;
}

/** ENVELOPE. Sender and Reply-To are From where absent or empty; absent fields are NIL, empty ones "". */
export function renderEnvelope(fields: EnvelopeFields): ByteText {
  const from = renderAddresses(fields.from);
  const orFrom = (value: ByteText | undefined): ByteText => {
    const rendered = renderAddresses(value);
    return rendered === "NIL" ? from : rendered;
  };
  return `(${[
    imapNstring(fields.date),
    imapNstring(fields.subject),
    from,
    orFrom(fields.sender),
    orFrom(fields.replyTo),
    renderAddresses(fields.to),
    renderAddresses(fields.cc),
    renderAddresses(fields.bcc),
    imapNstring(fields.inReplyTo),
    imapNstring(fields.messageId),
  ].join(" ")})`;
}

function renderParameters(params: readonly Parameter[]): ByteText {
  if (params.length === 0) return "NIL";
  return `(${params.map(p => `${imapString(p.name)} ${imapString(p.value)}`).join(" ")})`;
}

/** RFC 2045 §5.2: text without a charset is us-ascii. Said aloud, as Dovecot does, so that no client guesses. */
function withCharset(params: readonly Parameter[]): readonly Parameter[] {
  const named = params.some(param => param.name === "charset" || param.name === "charset*");
  return named ? params : [...params, { name: "charset", value: "us-ascii" }];
}

function renderDisposition(disposition: Disposition | undefined): ByteText {
  return disposition === undefined
    ? "NIL"
    : `(${imapString(disposition.type)} ${renderParameters(disposition.params)})`;
}

/** One tag goes as a list too: the grammar allows both, Dovecot sends this. */
function renderLanguage(tags: readonly string[]): ByteText {
  return tags.length === 0 ? "NIL" : `(${tags.map(imapString).join(" ")})`;
}

/** body-ext-1part / body-ext-mpart from the disposition on. */
function renderTail(part: MimePart): ByteText {
  return `${renderDisposition(part.disposition)} ${renderLanguage(part.language)} ${imapNstring(part.location)}`;
}

function renderMultipart(part: MimePart, extended: boolean): ByteText {
  const children = part.children.map(child => renderBody(child, extended)).join("");
  const tail = extended ? ` ${renderParameters(part.params)} ${renderTail(part)}` : "";
  return `(${children} ${imapString(part.subtype)}${tail})`;
}

function renderSinglepart(part: MimePart, extended: boolean): ByteText {
  const fields = [
    imapString(part.type),
    imapString(part.subtype),
    renderParameters(part.type === "text" ? withCharset(part.params) : part.params),
    imapNstring(part.contentId),
    imapNstring(part.description),
    imapString(part.encoding ?? "7bit"),
    String(part.bodyEnd - part.bodyStart),
  ];
  const inner = part.children[0];
  // message/global gets the basic form: RFC 3501 §9 knows the nested form for RFC822 alone, and Dovecot 2.3 reads it so.
  if (part.kind === "message" && part.subtype === "rfc822" && inner?.envelope !== undefined) {
    fields.push(renderEnvelope(inner.envelope), renderBody(inner, extended), String(part.lines ?? 0));
  } else if (part.type === "text") fields.push(String(part.lines ?? 0));
  if (extended) fields.push(imapNstring(part.md5), renderTail(part));
  return `(${fields.join(" ")})`;
}

/**
 * BODYSTRUCTURE (`extended`) or BODY of a part and all below it. Recursion is bounded by `MIME_DEPTH_MAX`.
 *
 * @returns octets as characters; literals inside where a value is not quotable
 */
export function renderBody(part: MimePart, extended: boolean): ByteText {
  return part.kind === "multipart" ? renderMultipart(part, extended) : renderSinglepart(part, extended);
}
