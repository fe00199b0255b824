/** Repeatable random numbers (mulberry32): a seed gives the same inputs on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Integer in [0, below); 0 for `below` < 1. */
  int(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.int(n) === 0;
  }

  pick<T>(from: readonly [T, ...T[]] | readonly T[]): T {
    const picked = from[this.int(from.length)];
    if (picked === undefined) throw new RangeError("Cannot pick: the list is empty");
    return picked;
  }

  /** Small more often than large: 0 .. `most`. */
  small(most: number): number {
    return Math.min(this.int(most + 1), this.int(most + 1));
  }

  /** `count` results of `make`, joined. */
  many(count: number, make: () => string, separator = ""): string {
    return Array.from({ length: count }, make).join(separator);
  }
}
