/**
 * A message's way in and out: the milter's decider, LMTP's intake, held mail, and what they share (message path, steps 1 to 7).
 */
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { HookRunner } from "../core/ports/hooks.ts";
import type { Outbox } from "../core/ports/outbox.ts";
import type { DkimSigner } from "../core/ports/sender-auth.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { SuccessNotices } from "../core/ports/success-notices.ts";
import { Intake } from "../delivery/intake.ts";
import type { DeliveryStep } from "../delivery/intake-options.ts";
import { EDIT_ROOM_BYTES, type EditRules } from "../delivery/message-edits.ts";
import { HookDecider } from "../delivery/milter-decider.ts";
import { LibrarySenderAuth } from "../delivery/sender-auth.ts";
import { TraceFields } from "../delivery/trace-field.ts";
import { PayloadRoom } from "../hooks/payload-room.ts";
import type { RootLog } from "../platform/log.ts";
import type { MasterKey } from "../platform/master-key.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { MailboxChanges } from "../store/changes.ts";
import type { Db } from "../store/db.ts";
import type { StoreDirectory } from "../store/directory.ts";
import { createVerdicts } from "../store/verdicts.ts";
import { type HeldMail, heldMailOf } from "./holds.ts";
import type { Relay } from "./relay.ts";
import type { Settings } from "./settings.ts";

/** What everything that takes in messages works on. */
export interface Arrival {
  readonly blobs: BlobStore;
  readonly store: MessageStore;
  readonly newMessageId: () => MessageId;
  readonly now: () => Date;
}

export interface MailPathParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly db: Db;
  readonly changes: MailboxChanges;
  readonly directory: StoreDirectory;
  readonly arrival: Arrival;
  readonly hooks: HookRunner;
  readonly master: MasterKey;
  readonly mimeLimits: () => MimeLimits;
  readonly relay: Relay;
  /** With DSN announced at LMTP. */
  readonly successNotices: SuccessNotices;
  /** For notices about held mail. */
  readonly outbox: Outbox;
  /** For mail of `send` that was held. */
  readonly signer: DkimSigner;
  readonly onDeliveryStep: ((step: DeliveryStep) => void) | undefined;
}

export interface MailPath {
  /** For the milter listener. */
  readonly decider: HookDecider;
  /** For the LMTP listener. */
  readonly intake: Intake;
  readonly heldMail: HeldMail;
  /** Its threads end with the milter listener. */
  readonly senderAuth: { stop(): Promise<void> };
  /** What may be changed of mail; one room for all of it. */
  readonly edits: EditRules;
}

export function mailPath(parts: MailPathParts): MailPath {
  const { settings, log, metrics, db, changes, directory, arrival, hooks, master, mimeLimits } = parts;
  const { hops, records, folderSecret } = parts.relay;
  const editRoom = new PayloadRoom(EDIT_ROOM_BYTES);
  const edits: EditRules = {
    signedMail: () => settings.config.edits.signed_mail,
    acquire: (bytes, deadline) => editRoom.acquire(bytes, deadline),
    denied: (plugin, item) => metrics.pluginDeniedActions.inc({ plugin, item }),
  };
  const { blobs, store } = arrival;
  const heldMail = heldMailOf({
    settings,
    log,
    db,
    blobs,
    store,
    changes,
    directory,
    hooks,
    ...{ signer: parts.signer, successNotices: parts.successNotices },
    ...{ newMessageId: arrival.newMessageId, mimeLimits },
    edits,
    relay: { hops, folderSecret },
    outbox: parts.outbox,
  });
  const { sender_auth: auth, hostname } = settings.config;
  const senderAuth = new LibrarySenderAuth({
    checks: auth.checks,
    resolver: auth.resolver,
    authservId: auth.authserv_id || hostname,
    log,
    observe: (method, result) => metrics.senderAuth.inc({ method, result }),
  });
  const judging = {
    ...arrival,
    directory,
    hooks,
    verdicts: createVerdicts(db),
    trace: new TraceFields(now => master.traceKeys(now)),
    holds: heldMail.holds,
    log,
  };
  const decider = new HookDecider({
    ...judging,
    senderAuth,
    submissions: heldMail.submissions,
    edits,
    limits: () => ({ messageBytes: settings.config.limits.message_bytes, mime: mimeLimits() }),
  });
  const intake = new Intake({
    ...judging,
    relay: { hops, records, edits, folderSecret, onMaybeTwice: () => metrics.relayMaybeTwice.inc() },
    successNotices: parts.successNotices,
    lateReject: () => settings.config.lmtp.late_reject,
    hostname: settings.config.hostname,
    limits: () => ({ receivedHeaders: settings.config.limits.received_headers, mime: mimeLimits() }),
    detailFolder: () => settings.config.lmtp.detail_folder,
    ...(parts.onDeliveryStep === undefined ? {} : { onStep: parts.onDeliveryStep }),
  });
  return { decider, intake, heldMail, senderAuth, edits };
}
