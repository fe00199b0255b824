/**
 * Group commit without an added wait (message path, step 7): one flush is in flight, the next takes what queued meanwhile.
 * A failed batch is tried again: once as it is when it only met another transaction, else one by one, so that a poisoned item hurts
 * only itself. When the store itself is away, everything in the batch fails at once (one by one would only multiply the time-outs).
 */
import { MairustError, toMairustError } from "../core/errors.ts";
import { sleep } from "../platform/deadline.ts";

export interface BatcherOptions<T> {
  /** Items that one flush takes at most. */
  readonly maxBatch: number;
  /** Items that may wait; more are refused with `too_many`. */
  readonly maxWaiting: number;
  /** What an item weighs, and how much one flush takes at most; a heavier item goes alone. Default: only the count matters. */
  readonly weigh?: (item: T) => number;
  readonly maxWeight?: number;
  /** Between two flushes, for what nobody waits for: more of it goes into one. Default 0. */
  readonly pauseMs?: number;
  /** The failure may pass when the same batch is tried at once again. */
  readonly isPassing?: (error: MairustError) => boolean;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher<T, R> {
  readonly #flush: (items: readonly T[], alone: boolean) => Promise<readonly R[]>;
  readonly #options: BatcherOptions<T>;
  #waiting: Waiting<T, R>[] = [];
  #running = false;
  #turn: Promise<void> = Promise.resolve();
  readonly #hurry = new AbortController();

  /**
   * @param flush  resolves with one result per item, in order; rejecting means that nothing of the batch took effect. `alone`: the
   *               item is tried by itself because its batch failed
   */
  constructor(
    flush: (items: readonly T[], alone: boolean) => Promise<readonly R[]>,
    options: BatcherOptions<T>,
  ) {
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
      if (!this.#running) this.#turn = this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Let everything that arrives in this turn of the event loop into the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      await this.#flushBatch(this.#take());
      await this.#pause();
    }
    this.#running = false;
  }

  /** Ends at once when somebody waits for the rest. */
  async #pause(): Promise<void> {
    const { pauseMs = 0 } = this.#options;
    if (pauseMs === 0 || this.#hurry.signal.aborted) return;
    await sleep(pauseMs, this.#hurry.signal).catch(() => undefined);
  }

  /** Write what waits, without any further pause, and what comes from now on at once. Never rejects. */
  async finish(): Promise<void> {
    this.#hurry.abort();
    while (this.#running) await this.#turn;
  }

  #take(): readonly Waiting<T, R>[] {
    const { maxBatch, weigh, maxWeight = Number.POSITIVE_INFINITY } = this.#options;
    let weight = 0;
    let count = 0;
    for (const { item } of this.#waiting.slice(0, maxBatch)) {
      weight += weigh?.(item) ?? 0;
      if (count > 0 && weight > maxWeight) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #flushBatch(batch: readonly Waiting<T, R>[]): Promise<void> {
    try {
      await this.#attempt(batch, false);
      return;
    } catch (error) {
      const failure = toMairustError(error, "write a batch");
      const passing = this.#isPassing(failure);
      if (!passing && (failure.code === "store_unavailable" || batch.length === 1)) {
        for (const one of batch) one.reject(failure);
        return;
      }
      if (passing && (await this.#succeeds(batch))) return;
    }
    for (const one of batch) await this.#flushAlone(one);
  }

  async #flushAlone(one: Waiting<T, R>): Promise<void> {
    try {
      await this.#attempt([one], true);
    } catch (error) {
      one.reject(toMairustError(error, "write one item"));
    }
  }

  async #succeeds(batch: readonly Waiting<T, R>[]): Promise<boolean> {
    try {
      await this.#attempt(batch, false);
      return true;
    } catch {
      // Each item is tried alone now, and hears its own error.
      return false;
    }
  }

  async #attempt(batch: readonly Waiting<T, R>[], alone: boolean): Promise<void> {
    const results = await this.#flush(
      batch.map(one => one.item),
      alone,
    );
    for (const [i, one] of batch.entries()) one.resolve(results[i] as R);
  }

  #isPassing(error: MairustError): boolean {
    return this.#options.isPassing?.(error) ?? false;
  }
}
