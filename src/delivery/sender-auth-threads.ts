/**
 * The threads that check senders (message path, step 2): few, started when they are first needed, each with many messages at a time.
 * Waiting for DNS costs no thread; what the threads compute is bounded by their number, and what they hold by `sender-auth-limits.ts`.
 *
 * A message waits for a thread within its own deadline. A thread that is stuck or ends is replaced
 * (`sender-auth-worker.ts`): the message that it was at fails, the others are tried once more within their own deadlines. A message that
 * is over its deadline while its thread is well is taken off it, and harms nobody.
 *
 * Failures: `deadline`, `too_many` (who waits), `draining`, `internal` (the thread ended); what reading the message throws.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError, toMairustError } from "../core/errors.ts";
import { deadlineAfter, every } from "../platform/deadline.ts";
import type { CachedDns } from "./sender-auth-dns.ts";
import type { Findings } from "./sender-auth-findings.ts";
import { CHECK_LIMITS, type CheckLimits } from "./sender-auth-limits.ts";
import type { CheckedMessage, CheckRun } from "./sender-auth-run.ts";
import { CheckWorker, ThreadLost } from "./sender-auth-worker.ts";

export interface CheckThreadsOptions {
  readonly dns: CachedDns;
  readonly limits?: CheckLimits;
  /** A thread is given up, with as many messages on it. */
  readonly onLost?: (why: string, messages: number) => void;
  /** Of the threads, for tests of what breaks. */
  readonly entry?: URL;
}

interface Waiter {
  readonly sizeBytes: number;
  readonly take: (worker: CheckWorker) => void;
  readonly fail: (error: unknown) => void;
}

export class CheckThreads {
  readonly #options: CheckThreadsOptions;
  readonly #limits: CheckLimits;
  readonly #workers = new Set<CheckWorker>();
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>();
  #stopLooking: (() => void) | undefined;
  #isStopped = false;

  constructor(options: CheckThreadsOptions) {
    this.#options = options;
    this.#limits = options.limits ?? CHECK_LIMITS;
  }

  /** Octets of messages that threads have not taken yet, at most. */
  get bytesAhead(): number {
    return [...this.#workers].reduce((sum, worker) => sum + worker.bytesAhead, 0);
  }

  /** @throws {MairustError} see above; `blob_missing`, `blob_damaged` of the content */
  async check(message: CheckedMessage, deadline: Deadline): Promise<Findings> {
    try {
      return await (await this.#open(message, deadline)).check();
    } catch (error) {
      if (!(error instanceof ThreadLost)) throw error;
      return (await this.#open(message, deadline)).check();
    }
  }

  /** What is under way fails. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#look();
    for (const { fail } of [...this.#waiting]) fail(draining());
    await Promise.all([...this.#workers].map(worker => worker.stop()));
  }

  #open(message: CheckedMessage, deadline: Deadline): Promise<CheckRun> {
    const { sizeBytes } = message;
    const { signal } = deadline;
    return new Promise((resolve, reject) => {
      if (this.#isStopped) return reject(draining());
      if (signal.aborted) return reject(toMairustError(signal.reason, "check the sender"));
      const worker = this.#waiting.size === 0 ? this.#find(sizeBytes) : undefined;
      const run = (one: CheckWorker) => {
        resolve(one.open(message, deadline));
        this.#look();
      };
      if (worker !== undefined) return run(worker);
      if (this.#waiting.size >= this.#limits.waiting)
        return reject(
          new MairustError("too_many", `Cannot check sender: ${this.#limits.waiting} messages wait`),
        );
      const wait = deadlineAfter(deadline.remainingMs() * this.#limits.waitShare, deadline);
      const leave = () => {
        this.#waiting.delete(waiter);
        wait.dispose();
      };
      const waiter: Waiter = {
        sizeBytes,
        take: one => {
          leave();
          run(one);
        },
        fail: error => {
          leave();
          reject(error);
        },
      };
      this.#waiting.add(waiter);
      const giveUp = () => {
        waiter.fail(toMairustError(wait.signal.reason, "wait for a thread"));
        // A smaller one behind it may have room.
        this.#serve();
      };
      wait.signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** An idle one, else a new one, else the one with the fewest messages. */
  #find(sizeBytes: number): CheckWorker | undefined {
    const fit = [...this.#workers].filter(worker => worker.hasRoom(sizeBytes));
    const least = fit.sort((one, other) => one.load - other.load)[0];
    const isFull = this.#workers.size >= this.#limits.threads;
    return least?.load === 0 || isFull ? least : this.#start();
  }

  #start(): CheckWorker {
    const { dns, entry, onLost = () => undefined } = this.#options;
    const worker = new CheckWorker({
      ...{ dns, limits: this.#limits, onLost },
      ...(entry === undefined ? {} : { entry }),
      onFree: () => this.#serve(),
      onGone: gone => {
        this.#workers.delete(gone);
        this.#serve();
      },
    });
    this.#workers.add(worker);
    return worker;
  }

  #serve(): void {
    for (const waiter of this.#waiting) {
      try {
        const worker = this.#isStopped ? undefined : this.#find(waiter.sizeBytes);
        if (worker === undefined) break;
        waiter.take(worker);
      } catch (error) {
        // The system has no thread for us.
        waiter.fail(toMairustError(error, "start a thread"));
      }
    }
    this.#look();
  }

  /** Looks while there is something to look at. */
  #look(): void {
    const isBusy = !this.#isStopped && [...this.#workers].some(({ load }) => load > 0);
    if (isBusy === (this.#stopLooking !== undefined)) return;
    this.#stopLooking?.();
    this.#stopLooking = isBusy
      ? every(this.#limits.lookMs, () => {
          for (const worker of this.#workers) worker.look();
        })
      : undefined;
  }
}

function draining(): MairustError {
  return new MairustError("draining", "Cannot check sender: the service stops");
}
