/** How many calls of one plugin run at once, and a bounded queue of those that wait. Waiting counts towards a call's time. */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { within } from "../platform/deadline.ts";
import { callFailure } from "./call-failure.ts";

/** Calls that wait for their turn; the next one fails at once. */
export const MAX_WAITING_CALLS = 1000;

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: MairustError) => void;
}

/** States: created ──open──► open ──close──► closed. Only an open one lets calls through. */
export class CallSlots {
  readonly #pluginId: string;
  readonly #max: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Set<Waiter>();
  /** Of calls that run. */
  readonly #cuts = new Set<AbortController>();
  /** Calls that run or are about to. */
  #taken = 0;
  #state: "created" | "open" | "closed" = "created";
  #onDrained: (() => void) | undefined;

  constructor(pluginId: string, max: number, maxWaiting: number) {
    this.#pluginId = pluginId;
    this.#max = max;
    this.#maxWaiting = maxWaiting;
  }

  get state(): "created" | "open" | "closed" {
    return this.#state;
  }

  /** @throws {PluginError} `plugin_failed`: it was opened before */
  open(): void {
    if (this.#state !== "created") throw callFailure(this.#pluginId, "it was started before");
    this.#state = "open";
  }

  /**
   * Run `work` when it is its turn. What it is given aborts with the caller's deadline, and when {@link close} runs out of time;
   * it must reject then.
   * @throws {MairustError} `deadline`, `plugin_failed` (not open, too many wait), `draining`; what `work` threw
   */
  async run<T>(deadline: Deadline, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    if (this.#state === "created") throw callFailure(this.#pluginId, "it is not started");
    if (this.#state === "closed") throw this.#draining();
    deadline.signal.throwIfAborted();
    if (this.#taken < this.#max) this.#taken++;
    else await this.#turn(deadline);
    const cut = new AbortController();
    const onAbort = () => cut.abort(deadline.signal.reason);
    deadline.signal.addEventListener("abort", onAbort, { once: true });
    this.#cuts.add(cut);
    try {
      if (deadline.signal.aborted) onAbort();
      return await work({ remainingMs: () => deadline.remainingMs(), signal: cut.signal });
    } finally {
      deadline.signal.removeEventListener("abort", onAbort);
      this.#cuts.delete(cut);
      this.#leave();
    }
  }

  /** Refuse new calls, wait for those that run until the deadline, then cut them off. */
  async close(deadline: Deadline): Promise<void> {
    this.#state = "closed";
    for (const waiter of this.#waiting) waiter.reject(this.#draining());
    this.#waiting.clear();
    if (this.#taken === 0) return;
    const drained = new Promise<void>(resolve => {
      this.#onDrained = resolve;
    });
    try {
      await within(drained, deadline);
    } catch {
      // Out of time.
      for (const cut of this.#cuts) cut.abort(callFailure(this.#pluginId, "it is being stopped"));
      await drained;
    }
  }

  #turn(deadline: Deadline): Promise<void> {
    if (this.#waiting.size >= this.#maxWaiting) throw callFailure(this.#pluginId, "too many calls wait");
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(waiter);
        reject(deadline.signal.reason);
      };
      const settled = () => deadline.signal.removeEventListener("abort", onAbort);
      const waiter: Waiter = {
        resolve() {
          settled();
          resolve();
        },
        reject(error) {
          settled();
          reject(error);
        },
      };
      deadline.signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(waiter);
    });
  }

  /** The place goes to whoever waits longest. */
  #leave(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      next.resolve();
      return;
    }
    this.#taken--;
    if (this.#taken === 0) this.#onDrained?.();
  }

  #draining(): MairustError {
    return new MairustError("draining", `Cannot call plugin "${this.#pluginId}": it is being stopped`);
  }
}
