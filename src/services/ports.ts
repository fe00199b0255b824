/** What the use cases work on. `compose.ts` fills it once; every service function takes it first. */
import type { AccountAdmin, MessageAdmin, SystemControl } from "../core/admin-ports.ts";
import type { AdminAlerts } from "../core/ports/alerts.ts";
import type { Audit, AuditRecords } from "../core/ports/audit.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { DkimAdmin } from "../core/ports/dkim.ts";
import type { HoldAdmin, Releases } from "../core/ports/hold-admin.ts";
import type { HookControl } from "../core/ports/hook-admin.ts";
import type { GuardAdmin } from "../core/ports/hook-guard.ts";
import type { JobAdmin } from "../core/ports/jobs.ts";
import type { KeyAdmin } from "../core/ports/key-admin.ts";
import type { KillSwitch } from "../core/ports/kill-switch.ts";
import type { LedgerRecords } from "../core/ports/ledger.ts";
import type { Log } from "../core/ports/log.ts";
import type { MailboxReader } from "../core/ports/mailboxes.ts";
import type { MessageAdder } from "../core/ports/message-adder.ts";
import type { Outbox } from "../core/ports/outbox.ts";
import type { PluginAdmin } from "../core/ports/plugin-admin.ts";
import type { PluginKeys, TrustedKey } from "../core/ports/plugin-keys.ts";
import type { PluginLifecycle } from "../core/ports/plugin-lifecycle.ts";
import type { PluginReviews } from "../core/ports/plugin-review.ts";
import type { PluginSettingsAdmin } from "../core/ports/plugin-settings.ts";
import type { NextHops, RelayPause } from "../core/ports/relay.ts";
import type { Scrub } from "../core/ports/scrub.ts";
import type { MailSender } from "../core/ports/sending.ts";
import type { StageAdmin } from "../core/ports/stages.ts";
import type { BatchImporter, ExportStore, ImportStore, VerificationStore } from "../core/ports/transfer.ts";
import type { UndoControl } from "../core/ports/undo.ts";
import type { BodyReads } from "./body-reads.ts";

export interface ServicePorts {
  readonly accounts: AccountAdmin;
  readonly messages: MessageAdmin;
  readonly stages: StageAdmin;
  readonly nextHops: Pick<NextHops, "probe"> & RelayPause;
  readonly jobs: JobAdmin;
  readonly holds: HoldAdmin;
  readonly releases: Releases;
  readonly outbox: Outbox;
  readonly sender: MailSender;
  readonly hooks: HookControl;
  readonly guard: GuardAdmin;
  readonly ledger: LedgerRecords;
  /** For changes that are to be seen later: who did what. */
  readonly log: Log;
  readonly audit: Audit;
  readonly auditRecords: AuditRecords;
  /** Who opened whose mail. */
  readonly bodyReads: BodyReads;
  readonly alerts: AdminAlerts;
  readonly keys: KeyAdmin;
  readonly killSwitch: KillSwitch;
  readonly dkim: DkimAdmin;
  readonly directory: Directory;
  readonly blobs: BlobStore;
  readonly adder: MessageAdder;
  readonly mailboxes: MailboxReader;
  readonly imports: ImportStore;
  readonly exports: ExportStore;
  readonly batches: BatchImporter;
  readonly verifications: VerificationStore;
  readonly system: SystemControl;
  readonly plugins: PluginAdmin;
  readonly pluginReviews: PluginReviews;
  readonly pluginSettings: PluginSettingsAdmin;
  readonly lifecycle: PluginLifecycle;
  readonly pluginKeys: PluginKeys;
  /** PEM to key. @throws {PluginValidationError} it is none, or too weak */
  readonly readPublicKey: (pem: string) => Pick<TrustedKey, "id" | "algorithm" | "spki">;
  readonly scrub: Scrub;
  readonly undo: UndoControl;
  /** `limits.message_bytes` now in effect. */
  readonly maxMessageBytes: () => number;
}
