/** Records of the core to bodies of the wire: names in snake_case, dates as RFC 3339, absent as null. Pure. */
import type {
  AccountRecord,
  AliasRecord,
  DomainRecord,
  MailboxRecord,
  MessageRecord,
  Place,
  RecordedEvent,
} from "../core/admin-ports.ts";
import { systemFlagNames } from "../core/flag-names.ts";
import type { JobRecord } from "../core/ports/jobs.ts";
import type { NewSecret } from "../core/ports/plugin-secrets.ts";
import type { PageGiven } from "../services/paging.ts";
import type { AccountBody, AliasBody, MailboxBody } from "../wire/api/accounts.ts";
import type { PageBody } from "../wire/api/common.ts";
import type { DomainBody } from "../wire/api/domains.ts";
import type { JobBody } from "../wire/api/jobs.ts";
import type { EventBody, MessageBody, PlaceBody } from "../wire/api/messages.ts";
import type { NewSecretBody } from "../wire/api/plugins.ts";

export const domainBodyOf = (domain: DomainRecord): DomainBody => ({
  name: domain.name,
  tenant: domain.tenant,
  stage: domain.stage,
  accounts: domain.accounts,
  quota_bytes: domain.quotaBytes,
  relay_lmtp: domain.relayLmtp ?? null,
  account_count: domain.accountCount,
  created_at: domain.createdAt.toISOString(),
});

export const accountBodyOf = (account: AccountRecord): AccountBody => ({
  address: account.address,
  domain: account.domain,
  stage: account.stage,
  own_stage: account.ownStage ?? null,
  quota_bytes: account.quotaBytes ?? null,
  effective_quota_bytes: account.effectiveQuotaBytes,
  used_bytes: account.usedBytes,
  used_messages: account.usedMessages,
  aliases: [...account.aliases],
  has_password: account.hasPassword,
  created_at: account.createdAt.toISOString(),
});

export const aliasBodyOf = (alias: AliasRecord): AliasBody => ({
  address: alias.address,
  account: alias.account,
  created_at: alias.createdAt.toISOString(),
});

export const mailboxBodyOf = (mailbox: MailboxRecord): MailboxBody => ({
  name: mailbox.name,
  special_use: mailbox.specialUse ?? null,
  subscribed: mailbox.subscribed,
  uid_validity: mailbox.uidValidity,
  uid_next: mailbox.uidNext,
  highest_modseq: mailbox.highestModseq,
  messages: mailbox.messages,
  unseen: mailbox.unseen,
  size_bytes: mailbox.sizeBytes,
});

const placeBodyOf = (place: Place): PlaceBody => ({
  account: place.account,
  mailbox: place.mailbox,
  uid: place.uid,
  flags: systemFlagNames(place.systemFlags),
  tags: [...place.keywords],
  internal_date: place.internalDate.toISOString(),
  size_bytes: place.sizeBytes,
  metadata: { ...place.metadata },
});

export const messageBodyOf = (message: MessageRecord): MessageBody => ({
  id: message.id,
  subject: message.subject,
  from: message.from,
  message_id_header: message.messageIdHeader ?? null,
  queue_id: message.queueId,
  mail_from: message.mailFrom,
  size_bytes: message.sizeBytes,
  attachments: message.attachments,
  thread_key: message.threadKey ?? null,
  blob_digest: message.digest,
  received_at: message.receivedAt.toISOString(),
  auth: message.senderAuth === undefined ? null : { ...message.senderAuth },
  places: message.places.map(placeBodyOf),
  places_total: message.placesTotal,
});

export const eventBodyOf = (event: RecordedEvent): EventBody => ({
  at: event.at.toISOString(),
  message_id: event.messageId,
  queue_id: event.queueId,
  kind: event.kind,
  recipient: event.recipient ?? null,
  data: { ...event.data },
});

export const jobBodyOf = (job: JobRecord): JobBody => ({
  id: job.id,
  kind: job.kind,
  state: job.state,
  payload: { ...job.payload },
  progress: job.progress,
  attempts: job.attempts,
  max_attempts: job.maxAttempts,
  error: job.error ?? null,
  standing: job.standing,
  cancel_requested: job.cancelRequested,
  canceled_by: job.canceledBy ?? null,
  message_id: job.messageId ?? null,
  created_at: job.createdAt.toISOString(),
  run_at: job.runAt.toISOString(),
  finished_at: job.finishedAt?.toISOString() ?? null,
});

export const newSecretBodyOf = (plugin: string, made: NewSecret): NewSecretBody => ({
  plugin,
  // As Standard Webhooks writes secrets.
  secret: `whsec_${Buffer.from(made.secret).toString("base64")}`,
  secret_id: made.secretId,
  active: made.active,
  old_until: made.oldUntil?.toISOString() ?? null,
});

export function pageBodyOf<T, B>(page: PageGiven<T>, body: (item: T) => B): PageBody<B> {
  return { items: page.items.map(body), next_cursor: page.nextCursor ?? null };
}

/** A list that fits one page. */
export function listBodyOf<T, B>(
  items: readonly T[],
  body: (item: T) => B,
): { items: B[]; next_cursor: null } {
  return { items: items.map(body), next_cursor: null };
}
