/** Held mail: the store behind it, the engine that releases it, and what ends by itself. */

import { parseMailAddress } from "../core/envelope.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { HoldAdmin, Releases } from "../core/ports/hold-admin.ts";
import type { Holds } from "../core/ports/holds.ts";
import type { HookRunner } from "../core/ports/hooks.ts";
import type { Outbox } from "../core/ports/outbox.ts";
import type { DkimSigner } from "../core/ports/sender-auth.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { Submissions } from "../core/ports/submissions.ts";
import type { SuccessNotices } from "../core/ports/success-notices.ts";
import { tellOfHolds } from "../delivery/hold-notices.ts";
import type { EditRules } from "../delivery/message-edits.ts";
import type { ReleaseRelay } from "../delivery/relay/release-relay.ts";
import { createReleases } from "../delivery/release.ts";
import type { RootLog } from "../platform/log.ts";
import { uuid7Generator } from "../platform/uuid7.ts";
import { addressText, canonicalAddress } from "../store/addresses.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { createHoldNotices } from "../store/hold-notices.ts";
import { createHolds } from "../store/holds.ts";
import { createHoldAdmin, expireHolds, forgetHolds, recoverHolds } from "../store/holds-admin.ts";
import { createHoldReleases } from "../store/holds-release.ts";
import { createSubmissions } from "../store/submissions.ts";
import type { Settings } from "./settings.ts";

export interface HoldParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly store: MessageStore;
  readonly changes: MailboxChanges;
  readonly directory: Directory;
  readonly hooks: HookRunner;
  readonly edits: EditRules;
  readonly relay: ReleaseRelay;
  /** For notices about held mail. */
  readonly outbox: Outbox;
  readonly signer: DkimSigner;
  readonly successNotices: SuccessNotices;
  readonly newMessageId: () => MessageId;
  readonly mimeLimits: () => MimeLimits;
}

export interface HeldMail {
  /** For the milter and for LMTP. */
  readonly holds: Holds;
  /** For the milter: mail that was submitted by us. */
  readonly submissions: Submissions;
  readonly admin: HoldAdmin;
  readonly releases: Releases;
  /** End what is over, every few minutes. */
  housekeeping(): Promise<void>;
}

export function heldMailOf(parts: HoldParts): HeldMail {
  const { settings, log, db, blobs, changes } = parts;
  const admin = createHoldAdmin(db);
  const confirmBlob: BlobStore["confirm"] = digest => blobs.confirm(digest);
  const holds = createHolds({
    db,
    confirmBlob,
    expireDays: () => settings.config.hold.expire_days,
    redeliveryWindowS: () => settings.config.lmtp.redelivery_window_s,
    newId: uuid7Generator(),
    log,
  });
  const releases = createReleases({
    admin,
    holds: createHoldReleases({ db, changes, confirmBlob }),
    blobs,
    newMessageId: parts.newMessageId,
    mimeLimits: parts.mimeLimits,
    directory: parts.directory,
    signer: parts.signer,
    successNotices: parts.successNotices,
    hooks: parts.hooks,
    edits: parts.edits,
    recordEvents: (id, queueId, events) => parts.store.recordEvents(id, queueId, events),
    canonical,
    hostname: settings.config.hostname,
    relay: parts.relay,
    server: () => settings.config.outbound.smtp,
    log,
    now: () => new Date(),
  });
  const tell = noticesOf(parts);
  return {
    holds,
    submissions: createSubmissions(db),
    admin,
    releases,
    async housekeeping() {
      const recovered = await recoverHolds(db);
      if (recovered > 0) log.warn("releases were interrupted", { held: recovered });
      for await (const ended of expireHolds(db))
        for (const { id, messageId, queueId } of ended)
          log.info("held mail expired", { queue_id: queueId, id: messageId, hold: id });
      const forgotten = await forgetHolds(db, settings.config.retention.events_days);
      if (forgotten > 0) log.info("records of ended holds deleted", { holds: forgotten });
      await tell();
    },
  };
}

function noticesOf({ settings, log, db, directory, outbox }: HoldParts): () => Promise<void> {
  const options = {
    notices: createHoldNotices({ db, newId: uuid7Generator() }),
    outbox,
    directory,
    notifyOwner: () => settings.config.hold.notify_owner,
    approvers: () => settings.config.hold.approvers,
    canonical,
    hostname: settings.config.hostname,
    log,
    now: () => new Date(),
  };
  return () => tellOfHolds(options);
}

/** As the directory looks addresses up; those of others may have no such form. */
function canonical(raw: string): string {
  const address = canonicalAddress(parseMailAddress(raw));
  return address === undefined ? raw : addressText(address);
}
