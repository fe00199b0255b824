/**
 * What the parent sees of a worker that hangs: the input that runs now, in shared memory, since a hanging thread answers
 * nobody. One writer, one reader.
 */
const HEAD_BYTES = 16;
/** Runs begun; odd while one runs. */
const TURN = 0;
const LENGTH = 1;

export class SharedInput {
  readonly memory: SharedArrayBuffer;
  readonly #head: Int32Array;
  readonly #octets: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#head = new Int32Array(memory, 0, HEAD_BYTES / 4);
    this.#octets = new Uint8Array(memory, HEAD_BYTES);
  }

  static forInputs(maxBytes: number): SharedInput {
    return new SharedInput(new SharedArrayBuffer(HEAD_BYTES + maxBytes));
  }

  begin(input: Uint8Array): void {
    this.#octets.set(input);
    Atomics.store(this.#head, LENGTH, input.length);
    Atomics.add(this.#head, TURN, 1);
  }

  end(): void {
    Atomics.add(this.#head, TURN, 1);
  }

  /** Changes with each begin and end. */
  get turn(): number {
    return Atomics.load(this.#head, TURN);
  }

  get running(): boolean {
    return (this.turn & 1) === 1;
  }

  /** A copy of the input that runs, or ran last. */
  get input(): Uint8Array {
    return this.#octets.slice(0, Atomics.load(this.#head, LENGTH));
  }
}
