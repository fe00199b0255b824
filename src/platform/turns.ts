/**
 * Turns for work that takes much memory or time: a few run at a time, a bounded number waits in line. Who leaves while it waits gives its
 * turn back; work that began goes on.
 */
import { MairustError } from "../core/errors.ts";

export interface TurnLimits {
  readonly running: number;
  readonly waiting: number;
  /** Message of the refusal when more want to wait, for the log and for the peer. */
  readonly refusal: string;
  readonly publicText: string;
}

export class Turns {
  readonly #limits: TurnLimits;
  #running = 0;
  /** In the order of their coming. */
  readonly #waiting = new Set<() => void>();

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** Work under way and in line. */
  get load(): { readonly running: number; readonly waiting: number } {
    return { running: this.#running, waiting: this.#waiting.size };
  }

  /**
   * @param gone  ends the wait; its reason is thrown
   * @throws {MairustError} `too_many` wait already
   */
  async take<T>(work: () => Promise<T>, gone?: AbortSignal): Promise<T> {
    gone?.throwIfAborted();
    if (this.#running < this.#limits.running) this.#running += 1;
    else await this.#wait(gone);
    try {
      return await work();
    } finally {
      // The place goes over as it is: nobody slips in between.
      const [next] = this.#waiting;
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  #wait(gone: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.size >= this.#limits.waiting) {
      const { refusal, publicText } = this.#limits;
      const failure = new MairustError("too_many", refusal, { publicText });
      return Promise.reject(failure);
    }
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#waiting.delete(begin);
        gone?.removeEventListener("abort", leave);
      };
      const begin = () => {
        end();
        resolve();
      };
      const leave = () => {
        end();
        reject(gone?.reason);
      };
      this.#waiting.add(begin);
      gone?.addEventListener("abort", leave, { once: true });
    });
  }
}
