/** What taking a message from LMTP works on (message path, steps 6 and 7), and the steps of it that tests are told of. */
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { Directory } from "../core/ports/directory.ts";
import type { Holds } from "../core/ports/holds.ts";
import type { HookRunner } from "../core/ports/hooks.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { SuccessNotices } from "../core/ports/success-notices.ts";
import type { Verdicts } from "../core/ports/verdicts.ts";
import type { RelayOptions, RelayStep } from "./relay/relay-options.ts";
import type { RelayPlanOptions } from "./relay/relay-plan.ts";
import type { LateReject } from "./ruling.ts";
import type { TraceFields } from "./trace-field.ts";

/**
 * Named steps of a delivery, in their order. `received`: all bytes are here, nothing is durable. `decided`: hooks have run.
 * `persisted`: the blob is durable. `committed`: the rows are, and nobody was answered yet. Those of a relay are its own.
 */
export type DeliveryStep = "received" | "decided" | "persisted" | "committed" | RelayStep;

export interface IntakeOptions {
  readonly blobs: BlobStore;
  readonly store: MessageStore;
  readonly directory: Directory;
  readonly hooks: HookRunner;
  /** What the milter left for LMTP. */
  readonly verdicts: Verdicts;
  readonly trace: TraceFields;
  readonly holds: Holds;
  readonly relay: Pick<RelayOptions, "hops" | "records" | "onMaybeTwice"> &
    Pick<RelayPlanOptions, "edits" | "folderSecret">;
  /** Absent: DSN is not announced. */
  readonly successNotices?: SuccessNotices;
  /** `lmtp.late_reject`. */
  readonly lateReject: () => LateReject;
  readonly log: Log;
  readonly hostname: string;
  readonly newMessageId: () => MessageId;
  readonly now: () => Date;
  readonly limits: () => { readonly receivedHeaders: number; readonly mime: MimeLimits };
  /** `user+detail@` selects an existing folder. */
  readonly detailFolder: () => boolean;
  /** Told of each step as it is done: crash tests end the process there. */
  readonly onStep?: (step: DeliveryStep) => void;
}
