/**
 * Deadlines and the only timers of the service. Elsewhere `setTimeout` is refused by the architecture test,
 * so that every wait has an owner and an end.
 */

import { setMaxListeners } from "node:events";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";

/** Longest delay of a Node timer; beyond it fires at once. */
const MAX_TIMER_MS = 2_147_483_647;

/**
 * A deadline that ends after `ms`, or with `parent`, whichever comes first.
 * Call `dispose()` when the work is done, so that no timer outlives it.
 */
export class TimedDeadline implements Deadline {
  readonly signal: AbortSignal;
  readonly #endsAt: number;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #onParentAbort: (() => void) | undefined;
  readonly #parentSignal: AbortSignal | undefined;

  constructor(ms: number, parent?: Deadline | AbortSignal) {
    const parentDeadline = parent !== undefined && "remainingMs" in parent ? parent : undefined;
    const allowed = Math.min(ms, parentDeadline?.remainingMs() ?? Number.POSITIVE_INFINITY);
    this.#endsAt = performance.now() + allowed;
    this.signal = this.#controller.signal;
    // Many wait for one deadline: all components' health, all calls of a chain. That is no leak to warn of.
    setMaxListeners(0, this.signal);
    if (Number.isFinite(allowed)) {
      this.#timer = setTimeout(() => this.#end(), Math.min(allowed, MAX_TIMER_MS));
      this.#timer.unref();
    }
    const signal = parentDeadline === undefined ? (parent as AbortSignal | undefined) : parentDeadline.signal;
    if (signal !== undefined) {
      this.#parentSignal = signal;
      this.#onParentAbort = () => this.#controller.abort(signal.reason);
      if (signal.aborted) this.#onParentAbort();
      else signal.addEventListener("abort", this.#onParentAbort, { once: true });
    }
  }

  remainingMs(): number {
    return this.signal.aborted ? 0 : Math.max(0, this.#endsAt - performance.now());
  }

  dispose(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    if (this.#onParentAbort !== undefined)
      this.#parentSignal?.removeEventListener("abort", this.#onParentAbort);
  }

  #end(): void {
    this.#controller.abort(new MairustError("deadline", "Cannot finish in time: the deadline has passed"));
  }
}

/** A deadline `ms` from now. */
export function deadlineAfter(ms: number, parent?: Deadline | AbortSignal): TimedDeadline {
  return new TimedDeadline(ms, parent);
}

/** Wait `ms`, or reject with the signal's reason as soon as it aborts. Keeps the process alive only when `keepAlive`. */
export function sleep(ms: number, signal?: AbortSignal, keepAlive = true): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    if (!keepAlive) timer.unref();
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Settle with `work`, or reject with the deadline's reason when it passes first. The work is not stopped: give it the signal too.
 * @throws {MairustError} code `deadline`
 */
export function within<T>(work: Promise<T>, deadline: Deadline): Promise<T> {
  const { signal } = deadline;
  return new Promise<T>((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/**
 * Run `task` every `intervalMs` until the returned function is called. Runs never overlap; the timer does not keep the process alive.
 * @param onError  hears what a run threw; the next one comes all the same. Default: a process warning.
 */
export function every(
  intervalMs: number,
  task: () => Promise<void> | void,
  onError: (error: unknown) => void = error =>
    process.emitWarning(`a periodic task failed: ${messageOf(error)}`),
): () => void {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const arm = () => {
    timer = setTimeout(async () => {
      try {
        await task();
      } catch (error) {
        onError(error);
      }
      if (!stopped) arm();
    }, intervalMs);
    timer.unref();
  };
  arm();
  return () => {
    stopped = true;
    if (timer !== undefined) clearTimeout(timer);
  };
}
