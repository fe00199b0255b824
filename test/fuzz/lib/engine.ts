/**
 * Chooses inputs for one target and keeps those that reach new source: seeds first, then changed corpus entries and inputs
 * made by the target's grammar. Coverage is looked at once per batch; a batch that reached something new is run again in
 * halves until the inputs that did it are found. Knows nothing of processes and time; `worker.ts` runs it.
 */
import type { Coverage } from "./coverage.ts";
import { mutate } from "./mutate.ts";
import { Random } from "./random.ts";
import { type FuzzTarget, INPUT_BYTES_MAX } from "./target.ts";

/** Inputs kept; above it a random one gives way. */
const CORPUS_MAX = 4000;
const BATCH_MIN = 16;
const BATCH_MAX = 4096;
/**
 * Counting costs a factor of four. So it goes on as long as it pays, up to this many inputs without anything new, and then
 * in turns without and with.
 */
const GUIDED_WITHOUT_NEWS = 20_000;
const BLIND_SLICE = 45_000;
const GUIDED_SLICE = 5000;
/** Of a blind slice so many inputs, spread over it, are tried again with coverage. */
const KEPT_OF_BLIND = 500;

export type RunOne = (input: Uint8Array) => Promise<void> | void;

export class Engine {
  readonly #target: FuzzTarget;
  readonly #random: Random;
  readonly #coverage: Coverage | undefined;
  readonly #shouldStop: () => boolean;
  readonly #corpus: Uint8Array[] = [];
  readonly #waiting: Uint8Array[];
  /** Inputs of a blind slice that wait for coverage. */
  readonly #again: Uint8Array[] = [];
  readonly #maxBytes: number;
  #batch = BATCH_MIN;
  #guided = true;
  #leftOfSlice = GUIDED_WITHOUT_NEWS;

  /**
   * @param coverage    absent: blind
   * @param shouldStop  asked before each input
   */
  constructor(
    target: FuzzTarget,
    seed: number,
    coverage: Coverage | undefined,
    shouldStop: () => boolean = () => false,
  ) {
    this.#shouldStop = shouldStop;
    this.#target = target;
    this.#random = new Random(seed);
    this.#coverage = coverage;
    this.#waiting = [...target.seeds];
    this.#maxBytes = target.maxBytes ?? INPUT_BYTES_MAX;
  }

  get corpusSize(): number {
    return this.#corpus.length;
  }

  /** Source characters reached. */
  get covered(): number {
    return this.#coverage?.covered ?? 0;
  }

  /** Run one batch of at most `most` inputs. @returns how many ran, repeats for coverage not counted */
  async runBatch(most: number, runOne: RunOne): Promise<number> {
    this.#turnSlice();
    const ran = this.#guided ? await this.#guidedBatch(most, runOne) : await this.#blindBatch(most, runOne);
    this.#leftOfSlice -= ran;
    return ran;
  }

  #turnSlice(): void {
    if (this.#leftOfSlice <= 0) {
      this.#guided = !this.#guided;
      this.#leftOfSlice = this.#guided ? GUIDED_SLICE : BLIND_SLICE;
    }
    this.#coverage?.count(this.#guided);
  }

  async #blindBatch(most: number, runOne: RunOne): Promise<number> {
    const size = Math.min(BATCH_MAX, this.#leftOfSlice, most);
    for (let i = 0; i < size; i++) {
      if (this.#shouldStop()) return i;
      const input = this.#next();
      if (this.#random.int(BLIND_SLICE) < KEPT_OF_BLIND) this.#again.push(input);
      const running = runOne(input);
      if (running !== undefined) await running;
    }
    return size;
  }

  async #guidedBatch(most: number, runOne: RunOne): Promise<number> {
    const batch: Uint8Array[] = [];
    const size = Math.min(this.#batch, most);
    for (let i = 0; i < size && !this.#shouldStop(); i++) {
      const input = this.#next();
      batch.push(input);
      const running = runOne(input);
      if (running !== undefined) await running;
    }
    const painted = this.#coverage?.take();
    if (painted === undefined || this.#coverage?.isNew(painted) !== true) {
      this.#batch = Math.min(BATCH_MAX, this.#batch * 2);
      return batch.length;
    }
    this.#batch = Math.max(BATCH_MIN, this.#batch >> 2);
    this.#leftOfSlice = GUIDED_WITHOUT_NEWS;
    await this.#findNew(batch, runOne);
    // What did not show up again (a first call, a race) counts as seen: it would be looked for for ever.
    this.#coverage.add(painted);
    return batch.length;
  }

  #next(): Uint8Array {
    const again = this.#guided ? this.#again.pop() : undefined;
    if (again !== undefined) return again;
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) {
      this.#keep(waiting);
      return waiting;
    }
    const { generate } = this.#target;
    const random = this.#random;
    if (generate !== undefined && random.oneIn(2)) {
      const made = generate(random).subarray(0, this.#maxBytes);
      return random.oneIn(2) ? made : this.#changed(made);
    }
    return this.#changed(this.#choose());
  }

  #changed(input: Uint8Array): Uint8Array {
    const { words = [] } = this.#target;
    return mutate(input, this.#random, { words, maxBytes: this.#maxBytes, other: this.#choose() });
  }

  /** Newer entries more often: they are where the frontier is. */
  #choose(): Uint8Array {
    const { length } = this.#corpus;
    const index = this.#random.oneIn(3)
      ? length - 1 - this.#random.small(length - 1)
      : this.#random.int(length);
    return this.#corpus[index] ?? new Uint8Array(0);
  }

  #keep(input: Uint8Array): void {
    if (this.#corpus.length >= CORPUS_MAX) this.#corpus.splice(this.#random.int(CORPUS_MAX), 1);
    this.#corpus.push(input);
  }

  async #findNew(inputs: readonly Uint8Array[], runOne: RunOne): Promise<void> {
    const coverage = this.#coverage;
    if (coverage === undefined) return;
    coverage.take();
    for (const input of inputs) {
      if (this.#shouldStop()) return;
      const running = runOne(input);
      if (running !== undefined) await running;
    }
    const painted = coverage.take();
    if (!coverage.isNew(painted)) return;
    const [only] = inputs;
    if (inputs.length === 1 && only !== undefined) {
      coverage.add(painted);
      this.#keep(only);
      return;
    }
    const half = inputs.length >> 1;
    await this.#findNew(inputs.slice(0, half), runOne);
    await this.#findNew(inputs.slice(half), runOne);
  }
}
