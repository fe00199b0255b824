/**
 * Runs a few steps ahead of the one that is consumed, in order and bounded: the next blobs are opened while one is being sent.
 */

/** How much may be started and not yet consumed. */
export interface AheadLimits {
  readonly steps: number;
  /** Octets that all of them hold together; one may hold more. */
  readonly bytes: number;
}

export class ReadAhead<T> {
  readonly #limits: AheadLimits;
  readonly #consume: (result: T) => Promise<void> | undefined;
  readonly #drop: (result: T) => Promise<void>;
  readonly #started: Array<{ readonly step: Promise<T>; readonly bytes: number }> = [];
  #bytes = 0;

  /**
   * @param consume  called for one result after the other
   * @param drop     releases a result that nobody will consume, or whose consumer threw
   */
  constructor(
    limits: AheadLimits,
    consume: (result: T) => Promise<void> | undefined,
    drop: (result: T) => Promise<void>,
  ) {
    this.#limits = limits;
    this.#consume = consume;
    this.#drop = drop;
  }

  /** Nothing is under way. */
  get isEmpty(): boolean {
    return this.#started.length === 0;
  }

  /**
   * Take the next step.
   * @param step   work that was started and does not reject
   * @param bytes  octets that it holds until it is consumed
   * @returns to be awaited before the next one is started, with what consuming throws; undefined: there is room
   */
  add(step: Promise<T>, bytes: number): Promise<void> | undefined {
    this.#started.push({ step, bytes });
    this.#bytes += bytes;
    return this.#isFull ? this.#makeRoom() : undefined;
  }

  /** Consume all that was started. */
  async finish(): Promise<void> {
    while (!this.isEmpty) await this.#consumeFirst();
  }

  /** Release whatever was started and not consumed, all of it before the first failure of that is told. */
  async dropRest(): Promise<void> {
    const rest = this.#started.splice(0).map(async ({ step }) => this.#drop(await step));
    await Promise.allSettled(rest);
    await Promise.all(rest);
  }

  get #isFull(): boolean {
    return this.#started.length >= this.#limits.steps || this.#bytes >= this.#limits.bytes;
  }

  async #makeRoom(): Promise<void> {
    while (this.#isFull) await this.#consumeFirst();
  }

  async #consumeFirst(): Promise<void> {
    const first = this.#started.shift();
    if (first === undefined) return;
    this.#bytes -= first.bytes;
    const result = await first.step;
    try {
      await this.#consume(result);
    } catch (error) {
      // What made the consumer fail is what counts.
      await this.#drop(result).catch(() => undefined);
      throw error;
    }
  }
}
