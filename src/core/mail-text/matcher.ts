/** Looks for folded needles in text that arrives in pieces; holds no more than one needle's length of it. Pure. */
import { StreamFolder } from "./fold.ts";
import type { TextSink } from "./sink.ts";

export class StreamMatcher implements TextSink {
  readonly #missing: Set<string>;
  readonly #carry: number;
  readonly #folder = new StreamFolder();
  #tail = "";

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
    if (!this.done) this.#look(this.#folder.add(text));
  }

  cut(): void {
    this.#look(this.#folder.end());
    this.#tail = "";
  }

  #look(folded: string): void {
    if (folded === "") return;
    const text = this.#tail + folded;
    for (const needle of this.#missing) {
      if (text.includes(needle)) this.#missing.delete(needle);
    }
    this.#tail = this.#carry === 0 ? "" : text.slice(-this.#carry);
  }
}
