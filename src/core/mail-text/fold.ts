/**
 * Makes text comparable for IMAP's SEARCH: matches are case-insensitive substrings, and composed, decomposed or full-width forms
 * of a letter must meet (RFC 3501 §6.4.4, RFC 5051). Pure.
 *
 * A long text is folded in pieces, and what comes out does not depend on how it came: pieces are cut only where a character cannot
 * change with what stands before it. The reader of messages and the index of messages rely on that; else one would find what the
 * other has not.
 */

/**
 * Characters that neither compose with what stands before them nor change its order (UAX #15 §9.1), as ranges: ASCII, Latin, Greek,
 * Cyrillic, Hebrew, Arabic and Thai letters, punctuation, Japanese, Chinese and Korean. Others are safe too, but need not be here.
 */
const SAFE =
  "\\u0000-\\u007f\\u00a0-\\u024f\\u0391-\\u03a1\\u03a3-\\u03ce\\u0400-\\u0482\\u048a-\\u052f\\u05d0-\\u05ea\\u0621-\\u063a\\u0641-\\u064a" +
  "\\u0e01-\\u0e30\\u2010-\\u2027\\u2030-\\u205e\\u3000-\\u3029\\u3041-\\u3096\\u30a1-\\u30fa\\u3400-\\u4dbf\\u4e00-\\u9fff" +
  "\\uac00-\\ud7a3\\uff01-\\uff9d";
/** Characters in a row of which none is safe: there it is cut all the same, or normalising would take quadratic time. */
const UNSAFE_MAX = 256;

const LAST_SAFE = new RegExp(`[${SAFE}](?=[^${SAFE}]*$)`, "u");
const LONG_UNSAFE = new RegExp(`[^${SAFE}]{${UNSAFE_MAX}}`, "gu");
/** More UTF-16 units than a tail without a safe character can have. */
const TAIL_UNITS = 2 * UNSAFE_MAX + 2;

/** Compatibility-composed and lower case, all of it at once. */
export function fold(text: string): string {
  const folder = new StreamFolder();
  return folder.add(text) + folder.end();
}

/** Folds text that arrives in pieces; holds a few hundred characters of it. */
export class StreamFolder {
  #held = "";

  /** @returns what is folded for good */
  add(text: string): string {
    const held = this.#held + text;
    const end = settledEnd(held);
    this.#held = held.slice(end);
    return end === 0 ? "" : foldSettled(held.slice(0, end));
  }

  /** What follows does not touch what was before. @returns the rest */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest === "" ? "" : foldSettled(rest);
  }
}

/** Where the last character begins that what follows may still change. */
function settledEnd(held: string): number {
  const tailStart = Math.max(0, held.length - TAIL_UNITS);
  const safe = LAST_SAFE.exec(held.slice(tailStart));
  if (safe !== null) return tailStart + safe.index;
  // A whole tail without a safe character: up to where it is cut anyway.
  let end = 0;
  for (const run of held.matchAll(LONG_UNSAFE)) end = run.index + run[0].length;
  return end;
}

function foldSettled(text: string): string {
  let folded = "";
  let from = 0;
  for (const run of text.matchAll(LONG_UNSAFE)) {
    const end = run.index + run[0].length;
    folded += foldPiece(text.slice(from, end));
    from = end;
  }
  return folded + foldPiece(text.slice(from));
}

/** Which of the two sigmas it is depends on what follows, and what is searched for may end anywhere. */
function foldPiece(text: string): string {
  return text.normalize("NFKC").toLowerCase().replaceAll("\u03c2", "\u03c3");
}
