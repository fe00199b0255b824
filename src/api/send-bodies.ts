/** Mail that goes out as bodies of the wire, and requests to send as what the services take. Pure. */
import type { OutgoingRecord, OutgoingResult } from "../core/ports/outbox.ts";
import type { ComposedMail, SentMail } from "../core/ports/sending.ts";
import { attachmentBytes } from "../services/send.ts";
import type { OutgoingBody, SendBody, SentBody } from "../wire/api/send.ts";

export const composedOf = (body: SendBody): ComposedMail => ({
  kind: "composed",
  from: body.from,
  to: body.to ?? [],
  cc: body.cc ?? [],
  bcc: body.bcc ?? [],
  replyTo: body.reply_to ?? [],
  subject: body.subject ?? "",
  text: body.text,
  html: body.html,
  attachments: (body.attachments ?? []).map(({ filename, content_type: contentType, content }) => ({
    ...{ filename, contentType },
    content: attachmentBytes(filename, content),
  })),
  inReplyTo: body.in_reply_to,
  references: body.references ?? [],
});

const resultBodyOf = ({ recipient, state, reply, at }: OutgoingResult) => ({
  ...{ recipient, state, reply },
  at: at?.toISOString() ?? null,
});

export const outgoingBodyOf = (mail: OutgoingRecord): OutgoingBody => ({
  id: mail.id,
  purpose: mail.purpose,
  state: mail.state,
  message_id: mail.messageId ?? null,
  mail_from: mail.mailFrom,
  recipients: mail.results.map(resultBodyOf),
  sent_copy: mail.sentCopy ?? null,
  job: mail.jobId,
  created_at: mail.createdAt.toISOString(),
  ended_at: mail.endedAt?.toISOString() ?? null,
  canceled_by: mail.canceledBy ?? null,
});

export const sentBodyOf = (mail: SentMail): SentBody => ({
  id: mail.id ?? null,
  message_id: mail.messageId,
  state: mail.state,
  hold: mail.hold ?? null,
  mail_from: mail.mailFrom,
  recipients: mail.results.map(resultBodyOf),
  sent_copy: mail.sentCopy ?? null,
  size_bytes: mail.sizeBytes,
  created_at: mail.createdAt.toISOString(),
});
