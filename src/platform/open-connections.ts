/**
 * The open connections of one listener that speaks to an MTA (LMTP, milter): counted, drained, cut. Taking and refusing them is the
 * listener's own business. States: serving → draining (no way back).
 */
import type { Deadline } from "../core/deadline.ts";
import { within } from "./deadline.ts";

export interface OpenConnection {
  /** Finish what is under way, take nothing new, close. */
  drain(): void;
  destroy(): void;
}

export class OpenConnections<C extends OpenConnection> {
  readonly #open = new Set<C>();
  readonly #waitingForEmpty = new Set<() => void>();
  readonly #onCount: (open: number) => void;
  #draining = false;

  /** @param onCount  called with how many are open, whenever that changes */
  constructor(onCount: (open: number) => void) {
    this.#onCount = onCount;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Nothing new is to be taken. */
  get draining(): boolean {
    return this.#draining;
  }

  add(connection: C): void {
    this.#open.add(connection);
    this.#onCount(this.#open.size);
  }

  /** Of a connection that is closed; as often as it is called. */
  forget(connection: C): void {
    if (!this.#open.delete(connection)) return;
    this.#onCount(this.#open.size);
    if (this.#open.size > 0) return;
    for (const wake of this.#waitingForEmpty) wake();
    this.#waitingForEmpty.clear();
  }

  /** @returns whether all are gone; false: the deadline is over, and who drains decides what becomes of the rest */
  async drain(deadline: Deadline): Promise<boolean> {
    this.#draining = true;
    for (const connection of [...this.#open]) connection.drain();
    const { promise, forget } = this.#empty();
    try {
      await within(promise, deadline);
      return true;
    } catch {
      // Only the deadline rejects.
      return false;
    } finally {
      forget();
    }
  }

  /** Cut all of them. */
  async close(): Promise<void> {
    this.#draining = true;
    for (const connection of [...this.#open]) connection.destroy();
    await this.#empty().promise;
  }

  /** Resolves when no connection is open; `forget` gives the wait up. */
  #empty(): { readonly promise: Promise<void>; forget(): void } {
    if (this.#open.size === 0) return { promise: Promise.resolve(), forget: () => {} };
    let wake = (): void => {};
    const promise = new Promise<void>(resolve => {
      wake = resolve;
      this.#waitingForEmpty.add(wake);
    });
    return { promise, forget: () => this.#waitingForEmpty.delete(wake) };
  }
}
