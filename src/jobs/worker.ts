/**
 * Works off the durable queue: claims what is due, runs each job under a lease that is renewed while it runs, and writes down how it
 * ended (message path, step 8: after the commit).
 *
 * States: stopped ──start──► running ──stop──► stopping ──all jobs ended or given back──► stopped.
 * A job runs at least once: when the lease cannot be renewed its signal aborts before others may take it. What a job throws is a
 * retry with back-off; past its attempts, or when it says so (`retry: "never"`), it is dead and stays to be looked at.
 */
import { MairustError, messageOf, toMairustError } from "../core/errors.ts";
import type { JobData, JobEnd, JobQueue, LeasedJob } from "../core/ports/jobs.ts";
import type { Log } from "../core/ports/log.ts";
import { deadlineAfter, every, type TimedDeadline, within } from "../platform/deadline.ts";
import { type BackOff, backOffMs } from "./back-off.ts";

/** What a handler works with. */
export interface JobRun {
  readonly job: LeasedJob;
  /** Aborts when the job is canceled, the service stops or the lease is lost: end soon, throw its reason. */
  readonly signal: AbortSignal;
  /** 0..100; written with the next renewal. */
  progress(percent: number): void;
  /** Keep something for the next run of this job. @throws {MairustError} `invalid_state`: the lease is lost */
  saveCheckpoint(checkpoint: JobData): Promise<void>;
}

export interface JobHandler {
  readonly kind: string;
  /** Jobs of this kind at a time on this node. */
  readonly concurrency: number;
  /** Done when it resolves. */
  run(run: JobRun): Promise<void>;
  /**
   * A job of this kind has ended and its work is not done: it was canceled, or failed for good. Called when that is on record. A process
   * that ends before it, or whose last lease was lost, calls nobody: the handler's owner finds such jobs by itself.
   */
  abandoned?(): Promise<void>;
}

export interface WorkerLimits {
  /** Jobs at a time, all kinds together. */
  readonly concurrency: number;
  /** A job whose node died is taken over after this. */
  readonly leaseMs: number;
  readonly renewMs: number;
  /** How often the queue is looked at without being woken. */
  readonly pollMs: number;
}

export const WORKER_LIMITS: WorkerLimits = {
  concurrency: 4,
  leaseMs: 30_000,
  renewMs: 8_000,
  pollMs: 5_000,
};

export interface WorkerOptions {
  readonly queue: JobQueue;
  readonly handlers: readonly JobHandler[];
  /** Different for every start of every node. */
  readonly owner: string;
  readonly log: Log;
  readonly random: () => number;
  readonly limits?: Partial<WorkerLimits>;
  readonly backOff?: BackOff;
}

/** Why a run was aborted. */
type Interruption = "stop" | "cancel" | "lost";

interface Running {
  readonly job: LeasedJob;
  readonly controller: AbortController;
  /** Monotonic time at which others may take it. */
  leaseEndsAt: number;
  interruption: Interruption | undefined;
  progress: number;
  ended: Promise<void>;
}

export class JobWorker {
  readonly #options: WorkerOptions;
  readonly #limits: WorkerLimits;
  readonly #running = new Map<number, Running>();
  readonly #timers: Array<() => void> = [];
  #state: "stopped" | "running" | "stopping" = "stopped";
  /** One claim at a time; a wake-up during one makes another. */
  #claiming: Promise<void> | undefined;
  #wokenMeanwhile = false;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#limits = { ...WORKER_LIMITS, ...options.limits };
  }

  /** Jobs that run now. */
  get size(): number {
    return this.#running.size;
  }

  start(): void {
    this.#state = "running";
    const failed = (error: unknown) => this.#options.log.error("job worker", { reason: messageOf(error) });
    this.#timers.push(
      every(this.#limits.pollMs, () => this.wake(), failed),
      every(this.#limits.renewMs, () => this.#renew(), failed),
    );
    this.wake();
  }

  /** Something may be due: look now. Never throws, waits for nothing. */
  wake(): void {
    if (this.#state !== "running") return;
    if (this.#claiming !== undefined) {
      this.#wokenMeanwhile = true;
      return;
    }
    this.#claiming = this.#claim().finally(() => {
      this.#claiming = undefined;
      if (!this.#wokenMeanwhile) return;
      this.#wokenMeanwhile = false;
      this.wake();
    });
  }

  /** Look at cancel requests now, not at the next renewal. */
  async checkCancels(): Promise<void> {
    if (this.#state === "running") await this.#renew();
  }

  /** Claim nothing more; running jobs are told to end, and are given back. Past the deadline their leases run out by themselves. */
  async stop(deadline: Pick<TimedDeadline, "signal" | "remainingMs">): Promise<void> {
    this.#state = "stopping";
    await this.#claiming;
    for (const running of this.#running.values()) this.#interrupt(running, "stop");
    const all = Promise.all([...this.#running.values()].map(one => one.ended));
    try {
      await within(all, deadline);
    } catch (error) {
      const kinds = [...this.#running.values()].map(one => one.job.kind);
      this.#options.log.warn("jobs still run; others take them when their lease ends", {
        kinds: kinds.join(","),
        reason: messageOf(error),
      });
    }
    for (const end of this.#timers.splice(0)) end();
    this.#state = "stopped";
  }

  async #claim(): Promise<void> {
    const { queue, owner, log } = this.#options;
    try {
      for (;;) {
        const kinds = this.#freeKinds();
        const room = this.#limits.concurrency - this.#running.size;
        if (this.#state !== "running" || kinds.length === 0 || room <= 0) return;
        const claimedAt = performance.now();
        // One by one: how many of a kind may run is known for this node only.
        const [job] = await queue.claim(kinds, owner, this.#limits.leaseMs, 1);
        if (job === undefined) return;
        this.#begin(job, claimedAt + this.#limits.leaseMs);
      }
    } catch (error) {
      log.warn("jobs not claimed", { reason: messageOf(error) });
    }
  }

  #freeKinds(): readonly string[] {
    const counts = new Map<string, number>();
    for (const { job } of this.#running.values()) counts.set(job.kind, (counts.get(job.kind) ?? 0) + 1);
    return this.#options.handlers
      .filter(({ kind, concurrency }) => (counts.get(kind) ?? 0) < concurrency)
      .map(({ kind }) => kind);
  }

  #begin(job: LeasedJob, leaseEndsAt: number): void {
    const running: Running = {
      job,
      controller: new AbortController(),
      leaseEndsAt,
      interruption: undefined,
      progress: 0,
      ended: Promise.resolve(),
    };
    this.#running.set(job.id, running);
    running.ended = this.#run(running).finally(() => {
      this.#running.delete(job.id);
      this.wake();
    });
  }

  async #run(running: Running): Promise<void> {
    const { job } = running;
    const { queue, owner, log } = this.#options;
    const end = await this.#handle(running);
    try {
      if (running.interruption === "lost") return;
      const state = await queue.finish(owner, job.id, end);
      if (state === undefined) log.warn("job ended after its lease", { job: job.id, kind: job.kind });
      if (state === "canceled" || state === "failed") await this.abandoned(job);
    } catch (error) {
      // Its lease ends, and it runs again: at least once.
      log.warn("end of job not recorded", { job: job.id, kind: job.kind, reason: messageOf(error) });
    }
  }

  /** Tell its handler that the job ended with its work undone. Never rejects. */
  async abandoned({ id, kind }: Pick<LeasedJob, "id" | "kind">): Promise<void> {
    const { handlers, log } = this.#options;
    try {
      await handlers.find(handler => handler.kind === kind)?.abandoned?.();
    } catch (error) {
      log.warn("end of job not followed up", { job: id, kind, reason: messageOf(error) });
    }
  }

  /** Never rejects. */
  async #handle(running: Running): Promise<JobEnd> {
    const { job, controller } = running;
    const { handlers, log } = this.#options;
    try {
      const handler = handlers.find(({ kind }) => kind === job.kind);
      if (handler === undefined)
        throw new MairustError("internal", `Cannot run job: no handler "${job.kind}"`);
      await handler.run({
        job,
        signal: controller.signal,
        progress: percent => {
          running.progress = percent;
        },
        saveCheckpoint: checkpoint => this.#saveCheckpoint(running, checkpoint),
      });
      return { kind: "done" };
    } catch (error) {
      if (running.interruption === "cancel") return { kind: "canceled" };
      if (running.interruption !== undefined) return { kind: "given_back" };
      const failure = toMairustError(error, `run job "${job.kind}"`);
      const final = failure.retry === "never";
      log.warn("job failed", {
        job: job.id,
        kind: job.kind,
        attempt: job.attempts,
        reason: failure.message,
      });
      const delayMs = backOffMs(job.attempts, this.#options.random(), this.#options.backOff);
      return { kind: "failed", error: failure.message, delayMs, final };
    }
  }

  async #saveCheckpoint(running: Running, checkpoint: JobData): Promise<void> {
    const { queue, owner } = this.#options;
    if (await queue.saveCheckpoint(owner, running.job.id, checkpoint)) return;
    this.#interrupt(running, "lost");
    throw new MairustError("invalid_state", `Cannot go on with job ${running.job.id}: its lease is lost`);
  }

  async #renew(): Promise<void> {
    const all = [...this.#running.values()].filter(one => one.interruption !== "lost");
    if (all.length === 0) return;
    const { queue, owner, log } = this.#options;
    const { leaseMs, renewMs } = this.#limits;
    const askedAt = performance.now();
    const deadline = deadlineAfter(renewMs);
    try {
      const progress = new Map(all.map(one => [one.job.id, one.progress]));
      const renewed = new Map(
        (await within(queue.renew(owner, progress, leaseMs), deadline)).map(one => [one.id, one.cancel]),
      );
      for (const running of all) {
        const cancel = renewed.get(running.job.id);
        if (cancel !== undefined) running.leaseEndsAt = askedAt + leaseMs;
        else if (this.#running.has(running.job.id)) this.#interrupt(running, "lost");
        if (cancel === true) this.#interrupt(running, "cancel");
      }
    } catch (error) {
      log.warn("job leases not renewed", { reason: messageOf(error) });
      // The next try may come too late: end before others begin.
      for (const running of all) {
        if (performance.now() + renewMs >= running.leaseEndsAt) this.#interrupt(running, "lost");
      }
    } finally {
      deadline.dispose();
    }
  }

  #interrupt(running: Running, why: Interruption): void {
    if (running.interruption === "lost") return;
    running.interruption = why === "lost" ? why : (running.interruption ?? why);
    running.controller.abort(new MairustError("draining", `Cannot go on with job ${running.job.id}: ${why}`));
  }
}
