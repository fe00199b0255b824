/** Held mail as bodies of the wire. Pure. */
import type { HeldRecord } from "../core/ports/hold-admin.ts";
import type { HeldPreview } from "../services/holds.ts";
import type { HeldBody, HeldPreviewBody } from "../wire/api/held.ts";

export const heldBodyOf = (held: HeldRecord): HeldBody => ({
  id: held.id,
  message_id: held.messageId,
  state: held.state,
  point: held.point,
  hook: held.hook?.name ?? null,
  plugin: held.pluginId ?? null,
  reason: held.reason,
  queue_id: held.queueId,
  mail_from: held.mailFrom,
  recipients: held.recipients.map(({ address }) => address.raw),
  account: held.account ?? null,
  auth_user: held.authUser ?? null,
  problem: held.problem ?? null,
  subject: held.subject,
  from: held.from,
  size_bytes: held.sizeBytes,
  attachments: held.attachments,
  created_at: held.createdAt.toISOString(),
  expires_at: held.expiresAt.toISOString(),
  ended_at: held.endedAt?.toISOString() ?? null,
  ended_by: held.endedBy ?? null,
});

export const heldPreviewBodyOf = (preview: HeldPreview): HeldPreviewBody => ({
  headers: [...preview.headers],
  headers_truncated: preview.headersTruncated,
  text: preview.text ?? null,
  text_truncated: preview.textTruncated,
  from_html: preview.fromHtml,
  attachments: preview.attachments.map(({ filename, contentType, sizeBytes }) => ({
    filename: filename ?? null,
    content_type: contentType,
    size_bytes: sizeBytes,
  })),
  attachments_truncated: preview.attachmentsTruncated,
});
