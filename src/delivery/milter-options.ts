/** What decisions at the milter need of other folders, and which hook point is whose (message path, steps 1 to 5). */
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { KnownDirectory } from "../core/ports/directory.ts";
import type { Holds } from "../core/ports/holds.ts";
import type { HookPoint, HookRunner } from "../core/ports/hooks.ts";
import type { Log } from "../core/ports/log.ts";
import type { Direction } from "../core/ports/milter.ts";
import type { SenderAuth } from "../core/ports/sender-auth.ts";
import type { MessageStore } from "../core/ports/store.ts";
import type { Submissions } from "../core/ports/submissions.ts";
import type { Verdicts } from "../core/ports/verdicts.ts";
import type { EditRules } from "./message-edits.ts";
import type { TraceFields } from "./trace-field.ts";

export interface MilterDeciderOptions {
  readonly blobs: BlobStore;
  readonly store: Pick<MessageStore, "recordEvents">;
  readonly directory: KnownDirectory;
  readonly hooks: HookRunner;
  readonly senderAuth: SenderAuth;
  readonly verdicts: Verdicts;
  readonly holds: Holds;
  readonly submissions: Submissions;
  readonly trace: TraceFields;
  readonly edits: EditRules;
  readonly log: Log;
  readonly newMessageId: () => MessageId;
  readonly now: () => Date;
  readonly limits: () => { readonly messageBytes: number; readonly mime: MimeLimits };
}

export const POINT_OF: Readonly<Record<Direction, HookPoint>> = {
  inbound: "pre_receive",
  outbound: "pre_send",
};
