/**
 * Composes mail from what a user wrote: text, HTML, attachments. The library writes the MIME; what it is given is checked before, and
 * it reads no file and no URL.
 * Source: nodemailer 10.6.0 (lib/mail-composer): it leaves line ends of texts as they are, so they are made CRLF here.
 */
import MailComposer from "nodemailer/lib/mail-composer";
import { MairustError, messageOf } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { ComposedMail } from "../core/ports/sending.ts";
import { type Mailbox, parseMailbox } from "./send-addresses.ts";

/** Attachments of one mail. */
const MAX_ATTACHMENTS = 100;
const MAX_SUBJECT_CHARS = 998;
const MAX_FILENAME_CHARS = 255;
const MAX_REFERENCES = 100;
const CONTROLS = /[\p{Cc}\u2028\u2029]/u;
const MEDIA_TYPE = /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}$/u;
/** RFC 5322 §3.6.4, without the brackets. */
const MESSAGE_ID = /^<?([^\s<>@\p{Cc}]{1,250}@[^\s<>@\p{Cc}]{1,250})>?$/u;

export interface Composed {
  readonly from: Mailbox;
  readonly recipients: readonly Mailbox[];
  /** Header and body; lines end in CRLF. */
  readonly bytes: Buffer;
}

/** @throws {MairustError} `address_syntax`, `invalid_argument`, `too_many` */
export async function composeMail(mail: ComposedMail, id: MessageId, now: Date): Promise<Composed> {
  checkTexts(mail);
  const from = parseMailbox(mail.from, "from");
  const list = (name: "to" | "cc" | "bcc" | "replyTo") => mail[name].map(one => parseMailbox(one, name));
  const [to, cc, bcc, replyTo] = [list("to"), list("cc"), list("bcc"), list("replyTo")];
  const field = (all: readonly Mailbox[]) => all.map(({ name, address }) => ({ name, address: address.raw }));
  const composer = new MailComposer({
    from: { name: from.name, address: from.address.raw },
    ...(to.length === 0 ? {} : { to: field(to) }),
    ...(cc.length === 0 ? {} : { cc: field(cc) }),
    ...(replyTo.length === 0 ? {} : { replyTo: field(replyTo) }),
    subject: mail.subject,
    ...(mail.text === undefined ? {} : { text: mail.text }),
    ...(mail.html === undefined ? {} : { html: mail.html }),
    ...(mail.inReplyTo === undefined ? {} : { inReplyTo: messageIdOf(mail.inReplyTo) }),
    ...(mail.references.length === 0 ? {} : { references: mail.references.map(messageIdOf) }),
    attachments: mail.attachments.map(({ filename, contentType, content }) => ({
      filename,
      content: Buffer.from(content.buffer, content.byteOffset, content.byteLength),
      ...(contentType === undefined ? {} : { contentType }),
    })),
    messageId: `<${id}@${from.address.domain}>`,
    date: now,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  try {
    const bytes = await composer.compile().build();
    return { from, recipients: [...to, ...cc, ...bcc], bytes };
  } catch (error) {
    throw new MairustError("invalid_argument", `Cannot compose the mail: ${messageOf(error)}`, {
      publicText: "this cannot be written as a mail",
      cause: error,
    });
  }
}

/** @throws {MairustError} `invalid_argument`, `too_many` */
function checkTexts({ subject, text, html, attachments, references }: ComposedMail): void {
  if (text === undefined && html === undefined) throw refused("text or html is missing");
  if (CONTROLS.test(subject) || subject.length > MAX_SUBJECT_CHARS)
    throw refused(`subject: at most ${MAX_SUBJECT_CHARS} characters on one line`);
  if (text?.includes("\0") || html?.includes("\0")) throw refused("text and html may hold no NUL");
  if (attachments.length > MAX_ATTACHMENTS)
    throw refused(`${attachments.length} attachments, allowed are ${MAX_ATTACHMENTS}`);
  if (references.length > MAX_REFERENCES)
    throw refused(`${references.length} references, allowed are ${MAX_REFERENCES}`);
  for (const { filename, contentType } of attachments) {
    if (filename === "" || CONTROLS.test(filename) || filename.length > MAX_FILENAME_CHARS)
      throw refused(
        `attachments: ${JSON.stringify(filename.slice(0, MAX_FILENAME_CHARS))} cannot be a file name`,
      );
    if (contentType !== undefined && !MEDIA_TYPE.test(contentType))
      throw refused(
        `attachments: ${JSON.stringify(contentType.slice(0, 100))} is no type such as text/plain`,
      );
  }
}

/** @throws {MairustError} `invalid_argument` */
function messageIdOf(text: string): string {
  const found = MESSAGE_ID.exec(text.trim())?.[1];
  if (found === undefined) throw refused(`${JSON.stringify(text.slice(0, 100))} is no Message-ID`);
  return `<${found}>`;
}

function refused(text: string): MairustError {
  return new MairustError("invalid_argument", `Cannot send: ${text}`, { publicText: text });
}
