/**
 * Deadlines and the only timers of the service. Elsewhere `setTimeout` is refused by the architecture test,
 * so that every wait has an owner and an end.
 */

import { setMaxListeners } from "node:events";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";

/** Longest delay of a Node timer; beyond it fires at once. */
const MAX_TIMER_MS = 2_147_483_647;

/** Why it ended: the reason of its signal. */
type OnEnd = (reason: unknown) => void;

/**
 * A deadline that ends after `ms`, or with `parent`, whichever comes first.
 * Call `dispose()` when the work is done, so that no timer outlives it.
 *
 * Each message has several, and few of them are ever asked for a signal: it is made when somebody wants it.
 */
export class TimedDeadline implements Deadline {
  readonly #endsAt: number;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #parent: TimedDeadline | AbortSignal | undefined;
  readonly #onParentEnd: OnEnd;
  #ended: { readonly reason: unknown } | undefined;
  #controller: AbortController | undefined;
  #waiting: Set<OnEnd> | undefined;

  constructor(ms: number, parent?: Deadline | AbortSignal) {
    const above = parent !== undefined && "remainingMs" in parent ? parent : undefined;
    const allowed = Math.min(ms, above?.remainingMs() ?? Number.POSITIVE_INFINITY);
    this.#endsAt = performance.now() + allowed;
    if (Number.isFinite(allowed)) {
      this.#timer = setTimeout(() => this.#end(passed()), Math.min(allowed, MAX_TIMER_MS));
      this.#timer.unref();
    }
    this.#parent =
      above instanceof TimedDeadline ? above : (above?.signal ?? (parent as AbortSignal | undefined));
    const source = this.#parent;
    if (source instanceof TimedDeadline) {
      this.#onParentEnd = reason => this.#end(reason);
      source.onEnd(this.#onParentEnd);
      return;
    }
    this.#onParentEnd = () => this.#end(source?.reason);
    if (source?.aborted === true) this.#end(source.reason);
    else source?.addEventListener("abort", this.#onParentEnd, { once: true });
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      // Many wait for one deadline: all components' health, all calls of a chain. That is no leak to warn of.
      setMaxListeners(0, this.#controller.signal);
      if (this.#ended !== undefined) this.#controller.abort(this.#ended.reason);
    }
    return this.#controller.signal;
  }

  remainingMs(): number {
    return this.#ended === undefined ? Math.max(0, this.#endsAt - performance.now()) : 0;
  }

  /** What a listener of the signal is, at a fraction of its cost; called at once when the deadline has ended. */
  onEnd(listener: OnEnd): void {
    if (this.#ended !== undefined) {
      listener(this.#ended.reason);
      return;
    }
    this.#waiting ??= new Set();
    this.#waiting.add(listener);
  }

  offEnd(listener: OnEnd): void {
    this.#waiting?.delete(listener);
  }

  dispose(): void {
    if (this.#timer !== undefined) clearTimeout(this.#timer);
    if (this.#parent instanceof TimedDeadline) this.#parent.offEnd(this.#onParentEnd);
    else this.#parent?.removeEventListener("abort", this.#onParentEnd);
  }

  #end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    // First the signal: whoever is told below finds it aborted. A listener that is taken back meanwhile is not called any more.
    this.#controller?.abort(reason);
    for (const listener of this.#waiting ?? []) listener(reason);
    this.#waiting = undefined;
  }
}

function passed(): MairustError {
  return new MairustError("deadline", "Cannot finish in time: the deadline has passed");
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
  return new Promise<T>((resolve, reject) => {
    const stop = onEndOf(deadline, reject);
    work.then(
      value => {
        stop();
        resolve(value);
      },
      error => {
        stop();
        reject(error);
      },
    );
  });
}

/** @returns what takes `listener` back */
function onEndOf(deadline: Deadline, listener: OnEnd): () => void {
  if (deadline instanceof TimedDeadline) {
    deadline.onEnd(listener);
    return () => deadline.offEnd(listener);
  }
  const { signal } = deadline;
  const onAbort = () => listener(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
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
