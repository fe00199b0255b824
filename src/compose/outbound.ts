/**
 * Mail that goes out: the outbox and the job that works it off, what users send, notices of success, and administrators' alerts by mail.
 */

import { parseMailAddress } from "../core/envelope.ts";
import { messageOf } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { Holds } from "../core/ports/holds.ts";
import type { HookRunner } from "../core/ports/hooks.ts";
import type { Outbox, OutboxWork, OutgoingAttempt } from "../core/ports/outbox.ts";
import type { DkimSigner } from "../core/ports/sender-auth.ts";
import type { MailSender } from "../core/ports/sending.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { SuccessNotices } from "../core/ports/success-notices.ts";
import { AlertMail } from "../delivery/alert-mail.ts";
import { failureNotice } from "../delivery/failure-notice.ts";
import type { EditRules } from "../delivery/message-edits.ts";
import { SUBMIT_FIELD } from "../delivery/release.ts";
import { createMailSender } from "../delivery/send-mail.ts";
import { submitBySmtp } from "../delivery/smtp-submission.ts";
import { createSuccessNotices } from "../delivery/success-notices.ts";
import { endAbandonedMails } from "../jobs/handlers/abandoned-mail.ts";
import type { SendMailOptions } from "../jobs/handlers/mail-results.ts";
import { createSendMailHandler } from "../jobs/handlers/send-mail.ts";
import type { JobHandler } from "../jobs/worker.ts";
import { type Component, component } from "../platform/component.ts";
import { every, within } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { uuid7Generator } from "../platform/uuid7.ts";
import { addressText, canonicalAddress } from "../store/addresses.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { createIdempotencyKeys, findHoldOfMessage } from "../store/idempotency.ts";
import { createOutbox } from "../store/outbox.ts";
import { createOutboxWork } from "../store/outbox-work.ts";
import type { Settings } from "./settings.ts";

/** How often it is looked whether alerts wait to be mailed. */
const ALERTS_MS = 5_000;
/** Octets of a message's header that a notice is made with. */
const NOTICE_HEADER_BYTES = 65_536;

export interface OutboxParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly changes: MailboxChanges;
  /** A job is due. */
  readonly onQueued: () => void;
}

export interface OutgoingMails {
  readonly outbox: Outbox;
  readonly work: OutboxWork;
  readonly handler: JobHandler;
  readonly successNotices: SuccessNotices;
  readonly alertMail: AlertMail;
  /** Mails the alerts. */
  readonly component: Component;
  /** End what lost its job, every few minutes. */
  housekeeping(): Promise<void>;
}

export function outgoingMails(parts: OutboxParts): OutgoingMails {
  const { settings, log, version, db, blobs, changes, onQueued } = parts;
  const newId = uuid7Generator();
  const { hostname } = settings.config;
  const now = () => new Date();
  const confirmBlob: BlobStore["confirm"] = digest => blobs.confirm(digest);
  const outbox = createOutbox({ db, changes, confirmBlob, newId, onQueued });
  const work = createOutboxWork({ db, newId, onQueued });
  const sending = sendMailOptions(parts, work);
  const alertMail = new AlertMail({
    ...{ outbox, hostname, log, now, steady: () => performance.now() },
    to: () => settings.config.alerts.mail_to,
  });
  return {
    outbox,
    work,
    handler: createSendMailHandler(sending),
    successNotices: createSuccessNotices({ outbox, hostname, now }),
    alertMail,
    component: alertComponent(version, alertMail),
    async housekeeping() {
      const ended = await endAbandonedMails(sending);
      if (ended > 0) log.warn("mails are not sent: their jobs are gone", { mails: ended });
      const deleted = await work.deleteEnded(settings.config.retention.events_days);
      if (deleted > 0) log.info("records of sent mail deleted", { mails: deleted });
    },
  };
}

function sendMailOptions({ settings, log, metrics, blobs }: OutboxParts, work: OutboxWork): SendMailOptions {
  const { hostname } = settings.config;
  return {
    work,
    log,
    async submit(mail, token, deadline) {
      const started = performance.now();
      try {
        const message = {
          mailFrom: mail.mailFrom,
          recipients: mail.waiting,
          dsn: mail.dsn,
          top: `${SUBMIT_FIELD}: ${token}\r\n${mail.top}`,
          content: contentOf(mail, blobs),
        };
        return await submitBySmtp({ server: settings.config.outbound.smtp, hostname }, message, deadline);
      } finally {
        metrics.outboxSubmitDuration.observe((performance.now() - started) / 1000);
      }
    },
    async notice(mail, refused) {
      const header = await headerOf(mail, blobs).catch((error: unknown) => {
        // Without it a notice is better than none.
        log.warn("notice without the header", { outbox: mail.id, reason: messageOf(error) });
        return new Uint8Array();
      });
      return failureNotice(mail, refused, { hostname, now: new Date(), header });
    },
    onResult: (purpose, result) => metrics.outboxRecipients.inc({ purpose, result }),
    onUnknown: purpose => metrics.outboxUnknown.inc({ purpose }),
  };
}

async function* contentOf({ content }: OutgoingAttempt, blobs: BlobStore): AsyncGenerator<Uint8Array> {
  if (content.kind === "bytes") yield content.bytes;
  else yield* blobs.get(content.digest);
}

async function headerOf({ header, content }: OutgoingAttempt, blobs: BlobStore): Promise<Uint8Array> {
  if (header !== undefined || content.kind === "bytes") return header ?? new Uint8Array();
  const chunks: Uint8Array[] = [];
  for await (const chunk of blobs.get(content.digest, { start: 0, end: NOTICE_HEADER_BYTES }))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

function alertComponent(version: string, alertMail: AlertMail): Component {
  const ends: (() => void)[] = [];
  return component({
    info: { name: "alerts", version, description: "mails alerts to administrators", type: "worker" },
    start() {
      ends.push(every(ALERTS_MS, () => alertMail.flush()));
    },
    async stop(deadline) {
      for (const end of ends.splice(0)) end();
      // They are in the log: a database that is away must not hold up the end.
      await within(alertMail.flush(true), deadline).catch(() => undefined);
    },
  });
}

export interface MailSenderParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly store: MessageStore;
  readonly directory: Directory;
  readonly hooks: HookRunner;
  readonly holds: Holds;
  readonly edits: EditRules;
  readonly outbox: Outbox;
  readonly signer: DkimSigner;
  readonly newMessageId: () => MessageId;
  readonly mimeLimits: () => MimeLimits;
}

export function mailSenderOf(parts: MailSenderParts): MailSender {
  const { settings, log, db, blobs, directory, hooks, holds, edits, outbox, signer, newMessageId } = parts;
  return createMailSender({
    ...{ log, blobs, directory, hooks, holds, edits, outbox, signer, newMessageId },
    limits: () => ({ messageBytes: settings.config.limits.message_bytes, mime: parts.mimeLimits() }),
    now: () => new Date(),
    recordEvents: (id, queueId, events) => parts.store.recordEvents(id, queueId, events),
    canonical,
    keys: createIdempotencyKeys(db),
    heldAs: id => findHoldOfMessage(db, id),
    chainTimeoutMs: () => settings.config.milter.chain_timeout_ms,
  });
}

/** As the directory looks addresses up; those of others may have no such form. */
function canonical(raw: string): string {
  const address = canonicalAddress(parseMailAddress(raw));
  return address === undefined ? raw : addressText(address);
}
