/**
 * What the index behind IMAP's SEARCH knows of a message: a number for every two characters side by side of which one is Japanese,
 * Chinese or Korean, and for every three other letters or digits. Pure.
 *
 * A gram depends on nothing but its own characters, so whatever contains a text has all its grams. The reverse is read in the message
 * itself: two grams may share a number. The root header has numbers of its own: a word that all headers have finds no body.
 */
import { hash, IDEOGRAPH, kindOf, LETTER, OTHER, sortedOnce } from "../search-text/grams.ts";
import { StreamFolder } from "./fold.ts";
import { GRAMS_MAX, QUERY_GRAMS_MAX } from "./limits.ts";
import type { TextSink } from "./sink.ts";

export type Where = "header" | "body";

/** The lowest bit says where it stands. */
const placed = (gram: number, where: Where): number => (where === "body" ? gram | 1 : gram & ~1);

/** Takes text of one place and adds its grams to a set that places share. */
export class GramSink implements TextSink {
  readonly #found: Set<number>;
  readonly #where: Where;
  readonly #folder = new StreamFolder();
  #before = 0;
  #last = 0;

  constructor(found: Set<number>, where: Where) {
    this.#found = found;
    this.#where = where;
  }

  /** More grams than a message may have: what is known of it is of no use. */
  get done(): boolean {
    return this.#found.size > GRAMS_MAX;
  }

  add(text: string): void {
    if (!this.done) this.addFolded(this.#folder.add(text));
  }

  cut(): void {
    this.addFolded(this.#folder.end());
    this.#before = 0;
    this.#last = 0;
  }

  /** Folding twice is not always the same as folding once. */
  addFolded(folded: string): void {
    let [before, last] = [this.#before, this.#last];
    let [kindBefore, kindLast] = [kindOf(before), kindOf(last)];
    for (let i = 0; i < folded.length; i++) {
      const unit = folded.charCodeAt(i);
      const kind = kindOf(unit);
      if (kind !== OTHER && kindLast !== OTHER) {
        if (kind === IDEOGRAPH || kindLast === IDEOGRAPH)
          this.#found.add(placed(hash(0, last, unit), this.#where));
        else if (kindBefore === LETTER) this.#found.add(placed(hash(before, last, unit), this.#where));
      }
      [before, last] = [last, unit];
      [kindBefore, kindLast] = [kindLast, kind];
    }
    this.#before = before;
    this.#last = last;
  }
}

export function sortedGrams(found: ReadonlySet<number>): Int32Array {
  return sortedOnce(Int32Array.from(found));
}

/**
 * The grams that a place must have to contain `folded`; empty when the index cannot help.
 * @param folded  `fold` made it
 */
export function gramsOfNeedle(folded: string, where: Where): readonly number[] {
  const found = new Set<number>();
  new GramSink(found, where).addFolded(folded);
  const all = [...found];
  if (all.length <= QUERY_GRAMS_MAX) return all;
  return Array.from(
    { length: QUERY_GRAMS_MAX },
    (_, i) => all[Math.floor((i * all.length) / QUERY_GRAMS_MAX)] ?? 0,
  );
}
