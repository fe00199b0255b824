/**
 * A standing job that makes something of every message after its commit: walks what lacks it (`backlog.ts`), hands it in batches to its
 * maker, lingers for new mail, goes slowly while mail comes in (`pace.ts`). One node works at a time; new mail goes before old.
 *
 * A message that takes the whole process with it is found by the checkpoint: after a crash the messages of that batch are tried alone,
 * and given up when it happens again.
 */
import { messageOf } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import { messageId } from "../core/ids.ts";
import type { JobData } from "../core/ports/jobs.ts";
import type { Log } from "../core/ports/log.ts";
import type { MessageWalk } from "../core/ports/message-walk.ts";
import { sleep } from "../platform/deadline.ts";
import { Backlog, type BacklogLimits } from "./backlog.ts";
import { Pace } from "./pace.ts";
import type { JobHandler, JobRun } from "./worker.ts";

export interface StandingLimits {
  /** Messages handed to the maker at a time. */
  readonly batch: number;
  /** How long the job waits for new mail before it ends, to be due again later. */
  readonly lingerMs: number;
  /** Times that a message may be at work when its process ends. */
  readonly crashes: number;
}

export const STANDING_LIMITS: StandingLimits = {
  batch: 64,
  lingerMs: 10_000,
  crashes: 2,
};

/** What a job makes, for one run of it. */
export interface Maker {
  /** Make and store it for these; messages that are gone are passed over. */
  make(ids: readonly MessageId[], signal: AbortSignal): Promise<void>;
  /** Store a stand-in, so that this message is not tried again. */
  giveUp(id: MessageId, reason: string): Promise<void>;
  /** The run is over. */
  close?(): Promise<void>;
}

export interface StandingJobOptions {
  /** Also of its row in `jobs`. */
  readonly kind: string;
  readonly walk: MessageWalk;
  readonly openMaker: () => Maker;
  readonly log: Log;
  readonly now: () => number;
  /** Shared with the other jobs of the node; default: its own, of one that is never told of mail. */
  readonly pace?: Pace | undefined;
  readonly limits?: Partial<StandingLimits & BacklogLimits>;
}

export interface StandingJobHandler extends JobHandler {
  /** Mail was stored. @returns false when the job does not run here, so that it must be made due */
  nudge(): boolean;
}

export function createStandingJob(options: StandingJobOptions): StandingJobHandler {
  return new StandingJob(options);
}

class StandingJob implements StandingJobHandler {
  readonly kind: string;
  readonly concurrency = 1;
  readonly #options: StandingJobOptions;
  readonly #limits: StandingLimits;
  readonly #pace: Pace;
  #backlog: Backlog;
  #running = false;
  #nudged = false;
  /** A batch stands in the checkpoint. */
  #kept = false;
  #waiting: AbortController | undefined;

  constructor(options: StandingJobOptions) {
    this.kind = options.kind;
    this.#options = options;
    this.#limits = { ...STANDING_LIMITS, ...options.limits };
    this.#pace = options.pace ?? new Pace();
    this.#backlog = this.#newBacklog();
  }

  nudge(): boolean {
    this.#nudged = true;
    this.#waiting?.abort();
    return this.#running;
  }

  async run(run: JobRun): Promise<void> {
    const maker = this.#options.openMaker();
    this.#running = true;
    try {
      await this.#retrySuspects(run, maker);
      for (;;) {
        const ids = await this.#turn(run, maker);
        if (ids.length === 0) {
          if ((await this.#linger(run.signal)) || this.#nudged) continue;
          // From here on a nudge makes the job due again in the queue.
          this.#running = false;
          return;
        }
      }
    } catch (error) {
      // What was handed out may not be done.
      this.#backlog = this.#newBacklog();
      throw error;
    } finally {
      this.#running = false;
      await maker.close?.();
      await this.#forgetBatch(run);
    }
  }

  /** @returns the messages of its batch; none: there is nothing to do now */
  async #turn(run: JobRun, maker: Maker): Promise<readonly MessageId[]> {
    await this.#pace.turn(run.signal);
    const startedAt = performance.now();
    this.#nudged = false;
    const ids = await this.#backlog.next(this.#limits.batch, run.signal);
    if (ids.length > 0) {
      await run.saveCheckpoint({ batch: ids });
      this.#kept = true;
      await maker.make(ids, run.signal);
    }
    // Looking for nothing is work as well, when it is done after each commit.
    this.#pace.worked(performance.now() - startedAt);
    return ids;
  }

  #newBacklog(): Backlog {
    const { walk, now, limits } = this.#options;
    return new Backlog(walk, now, limits);
  }

  /** An orderly end is no crash: nothing of this batch is suspect. */
  async #forgetBatch(run: JobRun): Promise<void> {
    if (!this.#kept && Object.keys(run.job.checkpoint).length === 0) return;
    this.#kept = false;
    try {
      await run.saveCheckpoint({});
    } catch (error) {
      this.#options.log.debug("checkpoint not cleared", { job: run.job.id, reason: messageOf(error) });
    }
  }

  /** @returns true when new mail came in */
  async #linger(signal: AbortSignal): Promise<boolean> {
    if (this.#nudged) return true;
    const waiting = new AbortController();
    this.#waiting = waiting;
    try {
      await sleep(this.#limits.lingerMs, AbortSignal.any([signal, waiting.signal]), false);
      return false;
    } catch (error) {
      signal.throwIfAborted();
      if (waiting.signal.aborted) return true;
      throw error;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** The messages at work when a process ended: one by one, so that the culprit is known if it happens again. */
  async #retrySuspects(run: JobRun, maker: Maker): Promise<void> {
    const { batch, alone } = readCheckpoint(run.job.checkpoint);
    for (const [i, id] of batch.entries()) {
      const crashes = alone?.id === id ? alone.crashes : 0;
      if (crashes >= this.#limits.crashes) {
        await maker.giveUp(id, "the service ended while it was read");
        continue;
      }
      await run.saveCheckpoint({ batch: batch.slice(i), alone: { id, crashes: crashes + 1 } });
      await maker.make([id], run.signal);
    }
  }
}

interface Checkpoint {
  readonly batch: readonly MessageId[];
  readonly alone: { readonly id: MessageId; readonly crashes: number } | undefined;
}

/** What an earlier version wrote in another form counts as nothing. */
function readCheckpoint({ batch, alone }: JobData): Checkpoint {
  const ids = Array.isArray(batch) ? batch.filter(id => typeof id === "string").map(messageId) : [];
  const known = typeof alone === "object" && alone !== null && "id" in alone && "crashes" in alone;
  return {
    batch: ids,
    alone:
      known && typeof alone.id === "string" && typeof alone.crashes === "number"
        ? { id: messageId(alone.id), crashes: alone.crashes }
        : undefined,
  };
}
