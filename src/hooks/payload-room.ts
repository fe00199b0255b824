/**
 * Bounds the octets of all payloads that are made or on their way to plugins. Who waits is served in order; who cannot get room in
 * time fails with `deadline` and follows its hook's `on_timeout`.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError } from "../core/errors.ts";
import { within } from "../platform/deadline.ts";

/** Most calls that wait for room; the next one fails at once. */
const MAX_WAITING = 10_000;

/** Gives room back: all of it, or all but `keepBytes`, when the payload turned out smaller than it could have been. */
export type GiveBack = (keepBytes?: number) => void;

interface Waiter {
  readonly bytes: number;
  readonly grant: () => void;
}

export class PayloadRoom {
  readonly #limitBytes: number;
  #usedBytes = 0;
  readonly #waiting: Waiter[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * @param bytes  that one payload can take (`payloadCost`), before anything is read for it; more than the whole room gets it alone
   * @throws {MairustError} `deadline`, `too_many`
   */
  async acquire(bytes: number, deadline: Deadline): Promise<GiveBack> {
    const share = Math.min(bytes, this.#limitBytes);
    if (this.#waiting.length > 0 || this.#usedBytes + share > this.#limitBytes)
      await this.#wait(share, deadline);
    else this.#usedBytes += share;
    let held = share;
    return (keepBytes = 0) => {
      const kept = Math.min(held, keepBytes);
      this.#usedBytes -= held - kept;
      held = kept;
      this.#serve();
    };
  }

  async #wait(bytes: number, deadline: Deadline): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING)
      throw new MairustError("too_many", "Cannot send a payload: too many wait for room");
    const { promise, resolve } = newPromise();
    const waiter: Waiter = { bytes, grant: resolve };
    this.#waiting.push(waiter);
    try {
      await within(promise, deadline);
    } catch (error) {
      const place = this.#waiting.indexOf(waiter);
      // Not in the list any more: the room was granted in the same turn, so it must go back.
      if (place === -1) this.#usedBytes -= bytes;
      else this.#waiting.splice(place, 1);
      this.#serve();
      throw error;
    }
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#usedBytes + first.bytes > this.#limitBytes) return;
      this.#waiting.shift();
      this.#usedBytes += first.bytes;
      first.grant();
    }
  }
}

function newPromise(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>(done => {
    resolve = done;
  });
  return { promise, resolve };
}
