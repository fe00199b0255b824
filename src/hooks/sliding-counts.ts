/** Counts of a sliding window, by slot: fixed memory, exact to a slot. Pure but for the clock it is given. */

const SLOTS = 30;

export class SlidingCounts<K extends string> {
  readonly #slotMs: number;
  readonly #kinds: readonly K[];
  /** Which slot of time a row is about. */
  readonly #slots = new Float64Array(SLOTS).fill(-1);
  readonly #counts: Uint32Array;

  constructor(windowMs: number, kinds: readonly K[]) {
    this.#slotMs = windowMs / SLOTS;
    this.#kinds = kinds;
    this.#counts = new Uint32Array(SLOTS * kinds.length);
  }

  /** @param now  milliseconds of a clock that never jumps */
  add(now: number, kind: K): void {
    const slot = Math.floor(now / this.#slotMs);
    const row = slot % SLOTS;
    const from = row * this.#kinds.length;
    if (this.#slots[row] !== slot) {
      this.#slots[row] = slot;
      this.#counts.fill(0, from, from + this.#kinds.length);
    }
    const at = from + this.#kinds.indexOf(kind);
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  totals(now: number): Readonly<Record<K, number>> {
    const newest = Math.floor(now / this.#slotMs);
    const sums = this.#kinds.map(() => 0);
    for (let row = 0; row < SLOTS; row++) {
      const slot = this.#slots[row] ?? -1;
      if (slot <= newest - SLOTS || slot > newest) continue;
      for (let i = 0; i < sums.length; i++)
        sums[i] = (sums[i] ?? 0) + (this.#counts[row * this.#kinds.length + i] ?? 0);
    }
    return Object.fromEntries(this.#kinds.map((kind, i) => [kind, sums[i] ?? 0])) as Record<K, number>;
  }
}
