/** How far an import or export is, told after every message. Pure. */
import type { OnProgress } from "../wire/transfer-calls.ts";

export class StepCount {
  readonly #onProgress: OnProgress;
  readonly #total: number;
  #done = 0;
  #bytes = 0;

  /** @param total  messages that there seem to be */
  constructor(total: number, onProgress: OnProgress) {
    this.#total = total;
    this.#onProgress = onProgress;
  }

  step(mailbox: string, messages: number, bytes: number): void {
    this.#done += messages;
    this.#bytes += bytes;
    const total = Math.max(this.#total, this.#done);
    this.#onProgress({ mailbox, done: this.#done, total, bytes: this.#bytes });
  }
}
