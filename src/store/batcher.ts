/**
 * Group commit without an added wait (message path, step 7): one flush is in flight, the next takes what queued meanwhile.
 * A failed batch is tried again one by one, so that a poisoned item hurts only itself; when the store itself is away,
 * everything in the batch fails at once (one by one would only multiply the time-outs).
 */
import { MairustError, toMairustError } from "../core/errors.ts";

export interface BatcherOptions {
  /** Items that one flush takes at most. */
  readonly maxBatch: number;
  /** Items that may wait; more are refused with `too_many`. */
  readonly maxWaiting: number;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher<T, R> {
  readonly #flush: (items: readonly T[]) => Promise<readonly R[]>;
  readonly #options: BatcherOptions;
  #waiting: Waiting<T, R>[] = [];
  #running = false;

  /** @param flush  resolves with one result per item, in order; rejecting means that nothing of the batch took effect */
  constructor(flush: (items: readonly T[]) => Promise<readonly R[]>, options: BatcherOptions) {
    this.#flush = flush;
    this.#options = options;
  }

  /** Items waiting for the next flush. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws what the flush threw for this item; `too_many` when the queue is full */
  add(item: T): Promise<R> {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      return Promise.reject(
        new MairustError("too_many", `Cannot queue: ${this.#waiting.length} items wait already`),
      );
    }
    return new Promise<R>((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Let everything that arrives in this turn of the event loop into the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#options.maxBatch);
      await this.#flushBatch(batch);
    }
    this.#running = false;
  }

  async #flushBatch(batch: readonly Waiting<T, R>[]): Promise<void> {
    try {
      const results = await this.#flush(batch.map(w => w.item));
      batch.forEach((w, i) => {
        w.resolve(results[i] as R);
      });
    } catch (error) {
      const failure = toMairustError(error, "write a batch");
      if (batch.length === 1 || failure.code === "store_unavailable") {
        for (const w of batch) w.reject(failure);
        return;
      }
      for (const w of batch) await this.#flushBatch([w]);
    }
  }
}
