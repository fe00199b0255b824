/**
 * Turns of password checks: each takes memory and a processor for tens of milliseconds, so a few run at a time and a bounded number
 * waits in line. Who leaves while it waits gives its turn back; a check that began goes on, so that leaving buys no free guess.
 */
import { MairustError } from "../core/errors.ts";

/** Checks at a time: 19 MiB each. */
const MAX_RUNNING = 2;
/** Logins that may wait for their check. */
const MAX_WAITING = 500;

export class PasswordTurns {
  #running = 0;
  /** In the order of their coming. */
  readonly #waiting = new Set<() => void>();

  /** Checks under way and in line. */
  get load(): { readonly running: number; readonly waiting: number } {
    return { running: this.#running, waiting: this.#waiting.size };
  }

  /**
   * @param gone  ends the wait; its reason is thrown
   * @throws {MairustError} `too_many` wait already
   */
  async take<T>(work: () => Promise<T>, gone?: AbortSignal): Promise<T> {
    gone?.throwIfAborted();
    if (this.#running < MAX_RUNNING) this.#running += 1;
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
    if (this.#waiting.size >= MAX_WAITING) {
      const failure = new MairustError("too_many", "Cannot check a password: too many logins wait", {
        publicText: "too many logins, try later",
      });
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
