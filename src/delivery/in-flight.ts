/**
 * Deliveries that are being worked on, by (queue id, recipient). Postfix gives up on a silent LMTP server and delivers again
 * while the first try may still run: the second waits for the first, so that hooks run once. Across nodes, and for good, the
 * unique key at commit decides.
 */
import type { Deadline } from "../core/deadline.ts";
import { within } from "../platform/deadline.ts";

export class InFlightDeliveries {
  readonly #running = new Map<string, Promise<void>>();

  get size(): number {
    return this.#running.size;
  }

  /**
   * Wait until no other delivery of these keys runs, then claim them.
   * @returns the release function
   * @throws {MairustError} `deadline`: nothing is claimed
   */
  async claim(queueId: string, recipients: readonly string[], deadline: Deadline): Promise<() => void> {
    if (queueId === "") return () => undefined;
    const keys = recipients.map(recipient => `${queueId}\0${recipient}`);
    for (let others = this.#others(keys); others.length > 0; others = this.#others(keys)) {
      await within(Promise.all(others), deadline);
    }
    let release: () => void = () => undefined;
    const done = new Promise<void>(resolve => {
      release = resolve;
    });
    for (const key of keys) this.#running.set(key, done);
    return () => {
      for (const key of keys) this.#running.delete(key);
      release();
    };
  }

  #others(keys: readonly string[]): Promise<void>[] {
    return keys.flatMap(key => this.#running.get(key) ?? []);
  }
}
