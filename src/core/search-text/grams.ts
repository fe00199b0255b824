/**
 * What the index knows of a text: a number for every pair of Japanese, Chinese or Korean characters and for every three other
 * letters or digits that stand together. Pure.
 *
 * Three for alphabets, because pairs of Latin letters are in almost every mail; two for the others, because words of two
 * characters are what is searched for. Whatever contains a text has all its grams; the reverse is checked on the text itself, so
 * that two grams may share a number.
 */
import { GRAMS_MAX, QUERY_GRAMS_MAX } from "./limits.ts";

export const OTHER = 0;
export const LETTER = 1;
export const IDEOGRAPH = 2;

/** Kind of a UTF-16 unit. Surrogates count as ideographs: rare kanji lie there, and pairs of units are as good as characters. */
export function kindOf(unit: number): number {
  if (unit < 0x80) {
    const isDigit = unit >= 0x30 && unit <= 0x39;
    return isDigit || (unit >= 0x61 && unit <= 0x7a) ? LETTER : OTHER;
  }
  if (unit < 0x1100) return unit < 0xaa || unit === 0xd7 || unit === 0xf7 ? OTHER : LETTER;
  // Punctuation, arrows, symbols.
  if (unit >= 0x2000 && unit < 0x2e80) return OTHER;
  if (unit >= 0x3000 && unit <= 0x3004) return OTHER;
  if (unit >= 0x3008 && unit <= 0x3020) return OTHER;
  if (unit >= 0x2e80 && unit < 0xe000) return IDEOGRAPH;
  return unit >= 0xf900 && unit < 0xfb00 ? IDEOGRAPH : LETTER;
}

/** FNV-1a over three UTF-16 units, as a signed 32-bit number. */
export function hash(a: number, b: number, c: number): number {
  const first = Math.imul(0x811c9dc5 ^ a, 0x01000193);
  return Math.imul(Math.imul(first ^ b, 0x01000193) ^ c, 0x01000193);
}

export interface Grams {
  /** Ascending, each once. */
  readonly grams: Int32Array;
  /** How much of the text they are of: all of it, unless there were more than allowed. */
  readonly length: number;
}

/** @param folded  `foldSearchText` made it */
export function gramsOf(folded: string, max: number = GRAMS_MAX): Grams {
  const found = new Int32Array(folded.length);
  // Only a text that is longer than that can have more.
  const distinct = folded.length > max ? new Set<number>() : undefined;
  let count = 0;
  let before = OTHER;
  let run = 0;
  let length = 0;
  for (; length < folded.length; length++) {
    const unit = folded.charCodeAt(length);
    const kind = kindOf(unit);
    run = kind === before ? run + 1 : 1;
    before = kind;
    if (kind === OTHER || run < (kind === LETTER ? 3 : 2)) continue;
    const first = kind === LETTER ? folded.charCodeAt(length - 2) : 0;
    const gram = hash(first, folded.charCodeAt(length - 1), unit);
    if (distinct !== undefined && !distinct.has(gram)) {
      if (distinct.size >= max) break;
      distinct.add(gram);
    }
    found[count++] = gram;
  }
  return { grams: sortedOnce(found.subarray(0, count)), length };
}

export function sortedOnce(numbers: Int32Array): Int32Array {
  numbers.sort();
  let kept = 0;
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i] ?? 0;
    if (i === 0 || value !== numbers[kept - 1]) numbers[kept++] = value;
  }
  return numbers.slice(0, kept);
}

/** The grams that a text must have to contain `folded`; empty when the index cannot help. */
export function queryGrams(folded: string): readonly number[] {
  const all = gramsOf(folded).grams;
  if (all.length <= QUERY_GRAMS_MAX) return [...all];
  return Array.from(
    { length: QUERY_GRAMS_MAX },
    (_, i) => all[Math.floor((i * all.length) / QUERY_GRAMS_MAX)] ?? 0,
  );
}
