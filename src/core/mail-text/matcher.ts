/** Looks for folded needles in text that arrives in pieces; holds no more than one needle's length of what it looked at. Pure. */
import type { Steps } from "../steps.ts";
import { StreamFolder } from "./fold.ts";
import type { TextSink } from "./sink.ts";

/**
 * Characters that are looked at in one step, beside what is carried on. Looking for a long text in one that is much like it takes
 * as many comparisons as both have characters, multiplied.
 */
const LOOKED_PER_STEP = 4096;
/** Looking for one text costs as much as so many characters, however short what is looked at. */
const LOOK_COST = 32;

/** Between two fields or parts: nothing that is looked for goes across. */
const CUT = undefined;

/** What was added is looked at by {@link look} alone, in steps: `done` and `has` know of no more. */
export class StreamMatcher implements TextSink {
  readonly #missing: Set<string>;
  readonly #carry: number;
  readonly #folder = new StreamFolder();
  #added: Array<string | typeof CUT> = [];
  #tail = "";
  /** Since the last step. */
  #looked = 0;

  /** @param needles  folded, not empty */
  constructor(needles: Iterable<string>) {
    this.#missing = new Set(needles);
    let longest = 1;
    for (const needle of this.#missing) longest = Math.max(longest, needle.length);
    this.#carry = longest - 1;
  }

  /** True when every needle was seen. */
  get done(): boolean {
    return this.#missing.size === 0;
  }

  has(needle: string): boolean {
    return !this.#missing.has(needle);
  }

  add(text: string): void {
    if (!this.done && text !== "") this.#added.push(this.#folder.add(text));
  }

  cut(): void {
    this.#added.push(this.#folder.end(), CUT);
  }

  /** Look at all that was added. */
  *look(): Steps<void> {
    const added = this.#added;
    this.#added = [];
    for (const text of added) {
      if (text === CUT) this.#tail = "";
      for (let at = 0; text !== CUT && at < text.length; at += LOOKED_PER_STEP) {
        const piece = this.#tail + text.slice(at, at + LOOKED_PER_STEP);
        for (const needle of this.#missing) {
          if (piece.includes(needle)) this.#missing.delete(needle);
          this.#looked += piece.length + LOOK_COST;
          if (this.#looked < LOOKED_PER_STEP) continue;
          this.#looked = 0;
          yield;
        }
        this.#tail = this.#carry === 0 ? "" : piece.slice(-this.#carry);
      }
    }
  }
}
