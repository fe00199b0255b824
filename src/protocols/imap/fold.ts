/**
 * Makes text comparable for SEARCH: IMAP matches are case-insensitive substrings, and composed, decomposed or
 * full-width forms of a letter must meet (RFC 3501 §6.4.4, RFC 5051). Pure.
 */

/** Compatibility-composed and lower case. */
export function fold(text: string): string {
  return text.normalize("NFKC").toLowerCase();
}

/** Looks for folded needles in text that arrives in pieces; holds no more than a few needle lengths of it. */
export class StreamMatcher {
  readonly #missing: Set<string>;
  readonly #carry: number;
  #tail = "";

  /** @param needles  folded, not empty */
  constructor(needles: Iterable<string>) {
    this.#missing = new Set(needles);
    let longest = 0;
    for (const needle of this.#missing) longest = Math.max(longest, needle.length);
    // Composition makes text shorter, so more raw characters than the needle has can belong to a match.
    this.#carry = longest * 4 + 32;
  }

  /** True when every needle was seen. */
  get done(): boolean {
    return this.#missing.size === 0;
  }

  has(needle: string): boolean {
    return !this.#missing.has(needle);
  }

  /** Text that goes on where the last piece ended. */
  add(text: string): void {
    if (text === "" || this.done) return;
    const raw = this.#tail + text;
    const folded = fold(raw);
    for (const needle of this.#missing) {
      if (folded.includes(needle)) this.#missing.delete(needle);
    }
    this.#tail = raw.length <= this.#carry ? raw : raw.slice(-this.#carry);
  }

  /** What follows does not touch what was before (next part, next field). */
  cut(): void {
    this.#tail = "";
  }
}
