/** The standing job that makes what IMAP sorts and threads by, of every message after its commit. When: `standing-job.ts`. */
import type { Log } from "../../core/ports/log.ts";
import type { MessageKeyStore } from "../../core/ports/message-keys.ts";
import type { BacklogLimits } from "../backlog.ts";
import type { Pace } from "../pace.ts";
import { createStandingJob, type StandingJobHandler, type StandingLimits } from "../standing-job.ts";

export const MESSAGE_KEYS_JOB = "message_keys";

export interface MessageKeysOptions {
  readonly store: MessageKeyStore;
  readonly log: Log;
  readonly now: () => number;
  readonly pace?: Pace;
  readonly limits?: Partial<StandingLimits & BacklogLimits>;
}

export function createMessageKeysHandler({ store, ...options }: MessageKeysOptions): StandingJobHandler {
  return createStandingJob({
    ...options,
    kind: MESSAGE_KEYS_JOB,
    walk: store,
    openMaker: () => ({
      make: (ids, signal) => store.make(ids, signal),
      giveUp: (id, reason) => store.giveUp(id, reason),
    }),
  });
}
