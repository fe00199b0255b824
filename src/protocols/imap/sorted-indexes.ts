/** Sorts a large list in slices: the sort of the language holds up everybody until it is done. Pure. */
import type { Steps } from "../../core/steps.ts";
import { SLICE_STEPS } from "../../platform/slices.ts";

/**
 * Stable merge sort, from the bottom up; linear for what is in order already.
 * @returns the indexes of `values`, by rising value, equal ones by rising index
 */
export function* sortedIndexes(values: Float64Array): Steps<Uint32Array> {
  let from = new Uint32Array(values.length);
  for (let i = 0; i < from.length; i += 1) from[i] = i;
  let to = new Uint32Array(values.length);
  let steps = 0;
  for (let width = 1; width < values.length; width *= 2) {
    for (let start = 0; start < values.length; start += 2 * width) {
      // Long runs are merged in pieces of a slice.
      const merge = new Merge(values, from, to, start, width);
      while (!merge.run(SLICE_STEPS)) yield;
      steps += 2 * width;
      if (steps < SLICE_STEPS) continue;
      steps = 0;
      yield;
    }
    [from, to] = [to, from];
  }
  return from;
}

/** Two neighbouring runs to one. */
class Merge {
  readonly #values: Float64Array;
  readonly #from: Uint32Array;
  readonly #to: Uint32Array;
  readonly #middle: number;
  readonly #end: number;
  #left: number;
  #right: number;
  #at: number;

  constructor(values: Float64Array, from: Uint32Array, to: Uint32Array, start: number, width: number) {
    this.#values = values;
    this.#from = from;
    this.#to = to;
    this.#middle = Math.min(start + width, from.length);
    this.#end = Math.min(start + 2 * width, from.length);
    this.#left = start;
    this.#right = this.#middle;
    this.#at = start;
  }

  /** @returns true when it is done */
  run(steps: number): boolean {
    const values = this.#values;
    const from = this.#from;
    const stop = Math.min(this.#end, this.#at + steps);
    for (; this.#at < stop; this.#at += 1) {
      const left = from[this.#left] ?? 0;
      const right = from[this.#right] ?? 0;
      const takesLeft =
        this.#right >= this.#end ||
        (this.#left < this.#middle && (values[left] ?? 0) <= (values[right] ?? 0));
      this.#to[this.#at] = takesLeft ? left : right;
      if (takesLeft) this.#left += 1;
      else this.#right += 1;
    }
    return this.#at >= this.#end;
  }
}
