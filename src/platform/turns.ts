/**
 * Turns for work that takes much memory or time: a few run at a time, a bounded number waits. Who leaves while it waits gives its turn
 * back; work that began goes on.
 *
 * Where it is told whose work it is, each of them has a line, and the lines take turns: however much one of them wants, another's first
 * waits for one turn of each line at most. Within a line the first that came is first.
 */
import { MairustError } from "../core/errors.ts";

export interface TurnLimits {
  readonly running: number;
  readonly waiting: number;
  /** Message of the refusal when more want to wait, for the log and for the peer. */
  readonly refusal: string;
  readonly publicText: string;
}

type Line = Set<() => void>;

export class Turns {
  readonly #limits: TurnLimits;
  #running = 0;
  #waiting = 0;
  /** Of those that wait, none is empty. The first has the next turn, and stands behind the others then. */
  readonly #lines = new Map<unknown, Line>();

  constructor(limits: TurnLimits) {
    this.#limits = limits;
  }

  /** Work under way and in line. */
  get load(): { readonly running: number; readonly waiting: number; readonly lines: number } {
    return { running: this.#running, waiting: this.#waiting, lines: this.#lines.size };
  }

  /**
   * @param gone   ends the wait; its reason is thrown
   * @param whose  names the line; all that do not say wait in one
   * @throws {MairustError} `too_many` wait already
   */
  async take<T>(work: () => Promise<T>, gone?: AbortSignal, whose?: unknown): Promise<T> {
    gone?.throwIfAborted();
    if (this.#running < this.#limits.running) this.#running += 1;
    else await this.#wait(gone, whose);
    try {
      return await work();
    } finally {
      this.#pass();
    }
  }

  /** The place goes over as it is: nobody slips in between. */
  #pass(): void {
    for (const [whose, line] of this.#lines) {
      const [begin] = line;
      begin?.();
      if (line.size > 0) {
        this.#lines.delete(whose);
        this.#lines.set(whose, line);
      }
      return;
    }
    this.#running -= 1;
  }

  #wait(gone: AbortSignal | undefined, whose: unknown): Promise<void> {
    if (this.#waiting >= this.#limits.waiting) {
      const { refusal, publicText } = this.#limits;
      const failure = new MairustError("too_many", refusal, { publicText });
      return Promise.reject(failure);
    }
    return new Promise((resolve, reject) => {
      const begin = () => {
        this.#leave(whose, begin);
        gone?.removeEventListener("abort", leave);
        resolve();
      };
      const leave = () => {
        this.#leave(whose, begin);
        reject(gone?.reason);
      };
      this.#join(whose, begin);
      gone?.addEventListener("abort", leave, { once: true });
    });
  }

  #join(whose: unknown, begin: () => void): void {
    const line = this.#lines.get(whose) ?? new Set();
    this.#lines.set(whose, line.add(begin));
    this.#waiting += 1;
  }

  #leave(whose: unknown, begin: () => void): void {
    const line = this.#lines.get(whose);
    if (line?.delete(begin) !== true) return;
    this.#waiting -= 1;
    if (line.size === 0) this.#lines.delete(whose);
  }
}
