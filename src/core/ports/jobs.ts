/** The durable job queue; `store/jobs.ts` implements it, `jobs/worker.ts` works it off. `JobAdmin` is what people see of it. */
import type { Page, PageRequest } from "../admin-ports.ts";

export type JobState = "queued" | "running" | "done" | "failed" | "canceled";

/** What a handler gets: JSON that it checks itself. */
export type JobData = Readonly<Record<string, unknown>>;

export interface NewJob {
  readonly kind: string;
  readonly payload: JobData;
  /** Runs before it is dead. Default 10. */
  readonly maxAttempts?: number;
  readonly messageId?: string;
}

/** A job that this owner may run until its lease ends. */
export interface LeasedJob {
  readonly id: number;
  readonly kind: string;
  readonly payload: JobData;
  readonly messageId: string | undefined;
  /** What the handler kept in an earlier run. */
  readonly checkpoint: JobData;
  /** This run included; since the last success for a standing job. */
  readonly attempts: number;
  readonly maxAttempts: number;
  /** Set: it runs again that long after each run, and never ends for good. */
  readonly repeatMs: number | undefined;
}

/** How a run ended. `late`: the lease was lost meanwhile; somebody else has the job. */
export type JobEnd =
  | { readonly kind: "done" }
  /** Again after `delayMs`, or dead when its attempts are used up. */
  | { readonly kind: "failed"; readonly error: string; readonly delayMs: number; readonly final: boolean }
  | { readonly kind: "canceled" }
  /** Not its fault: the attempt does not count, anybody may take it at once. */
  | { readonly kind: "given_back" };

/** A renewed lease; `cancel`: somebody wants the job to end. */
export interface Renewal {
  readonly id: number;
  readonly cancel: boolean;
}

export interface JobQueue {
  /** Make a job known; it may run at once. @returns its id */
  enqueue(job: NewJob): Promise<number>;
  /**
   * Take up to `limit` jobs of these kinds that are due, oldest first. Jobs whose lease has ended (their node died) are due too.
   * @throws {MairustError} `store_unavailable`, as all methods
   */
  claim(
    kinds: readonly string[],
    owner: string,
    leaseMs: number,
    limit: number,
  ): Promise<readonly LeasedJob[]>;
  /** @returns those that are still this owner's */
  renew(owner: string, progress: ReadonlyMap<number, number>, leaseMs: number): Promise<readonly Renewal[]>;
  /** Keep something for the next run, if the lease still holds. @returns false when it does not */
  saveCheckpoint(owner: string, id: number, checkpoint: JobData): Promise<boolean>;
  /** @returns its state now: `canceled` also when that was asked for while it ran; undefined when the lease was lost: nothing changed */
  finish(owner: string, id: number, end: JobEnd): Promise<JobState | undefined>;
  /** Make the standing job of a kind due now, or due again at once when it runs. */
  makeDue(kind: string): Promise<void>;
  /**
   * Delete some of the jobs that ended more than `days` ago, and of those that did what they had to do about one message, more than
   * `doneDays` ago: the message's timeline has it.
   * @returns how many; 0: none is left
   */
  deleteFinished(days: number, doneDays?: number): Promise<number>;
}

/** A job as people see it. */
export interface JobRecord {
  readonly id: number;
  readonly kind: string;
  readonly state: JobState;
  readonly payload: JobData;
  readonly progress: number;
  readonly attempts: number;
  readonly maxAttempts: number;
  /** Of the last failure. */
  readonly error: string | undefined;
  /** It never ends for good: it runs again after a pause. */
  readonly standing: boolean;
  readonly cancelRequested: boolean;
  /** Who asked for its end. */
  readonly canceledBy: string | undefined;
  readonly messageId: string | undefined;
  readonly createdAt: Date;
  /** When it is due, or was. */
  readonly runAt: Date;
  readonly finishedAt: Date | undefined;
}

export interface JobFilter {
  readonly kind: string | undefined;
  readonly state: JobState | undefined;
}

export interface JobCount {
  readonly kind: string;
  readonly state: JobState;
  readonly count: number;
  /** Of the one that is due longest, in seconds; 0 when none is. */
  readonly ageSeconds: number;
}

export interface JobAdmin {
  /** Newest first. */
  list(filter: JobFilter, page: PageRequest): Promise<Page<JobRecord>>;
  /** @throws {MairustError} `not_found` */
  get(id: number): Promise<JobRecord>;
  /**
   * A waiting job ends at once, a running one soon.
   * @param by  for the record
   * @throws {MairustError} `not_found`, `invalid_state` (it has ended), `not_permitted` (a standing job)
   */
  cancel(id: number, by: string): Promise<JobRecord>;
  /**
   * Run a failed or canceled job again, with all its attempts.
   * @throws {MairustError} `not_found`, `invalid_state` (its state, or the mail that it was to send has ended)
   */
  retry(id: number): Promise<JobRecord>;
  /** For metrics. */
  counts(): Promise<readonly JobCount[]>;
}
