/** What API and commands do with accounts, messages and mailboxes, straight on the store. */
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { MailboxReader } from "../core/ports/mailboxes.ts";
import type { ImportStore } from "../core/ports/transfer.ts";
import { createMessageAdder } from "../delivery/add-message.ts";
import { createBatchImporter } from "../delivery/import-batch.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { ServicePorts } from "../services/ports.ts";
import { createAccountAdmin, createMessageAdmin } from "../store/admin.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import { createExportStore } from "../store/export.ts";
import { createScrub } from "../store/scrub.ts";
import { createStageAdmin } from "../store/stages.ts";
import { createVerificationStore } from "../store/verify-results.ts";
import { comparableOf } from "../transfer/comparable.ts";
import { MAX_BATCH_MESSAGES } from "../wire/transfer.ts";
import type { Arrival } from "./mail-path.ts";
import type { Settings } from "./settings.ts";

export interface StorePortParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly db: Db;
  readonly blobs: BlobStore;
  readonly changes: MailboxChanges;
  readonly directory: Directory & { invalidate(): void };
  readonly directoryChanges: { publish(): void };
  readonly reader: MailboxReader;
  readonly imports: ImportStore;
  readonly arrival: Arrival;
  readonly mimeLimits: () => MimeLimits;
}

export type StorePorts = Pick<
  ServicePorts,
  | "accounts"
  | "messages"
  | "stages"
  | "directory"
  | "blobs"
  | "adder"
  | "mailboxes"
  | "imports"
  | "exports"
  | "batches"
  | "verifications"
  | "maxMessageBytes"
  | "scrub"
>;

export function storePorts(parts: StorePortParts): StorePorts {
  const { settings, log, metrics, db, blobs, changes, directory, imports, arrival, mimeLimits } = parts;
  const { directoryChanges } = parts;
  const maxMessageBytes = () => settings.config.limits.message_bytes;
  const adding = { ...arrival, maxMessageBytes, mimeLimits, log };
  return {
    accounts: createAccountAdmin({
      db,
      onDirectoryChange: () => directoryChanges.publish(),
      onMailboxesGone: mailboxes => changes.publish(mailboxes),
      onPasswordChanged: (account, now) => log.info("account password changed", { account, now }),
    }),
    messages: createMessageAdmin(db),
    stages: createStageAdmin({ db, onChange: () => directory.invalidate() }),
    directory,
    blobs,
    adder: createMessageAdder(adding),
    mailboxes: parts.reader,
    imports,
    exports: createExportStore(db),
    batches: createBatchImporter({ ...adding, store: imports, comparableOf, maxBatch: MAX_BATCH_MESSAGES }),
    verifications: createVerificationStore(db),
    maxMessageBytes,
    scrub: createScrub({
      db,
      blobs,
      onFinding(finding) {
        metrics.scrubFindings.inc({ kind: finding.kind });
        log.error("scrub found a fault", { ...finding });
      },
    }),
  };
}
