/**
 * Makes text comparable for search: the stored text and what is searched for go through the same function. Composed, decomposed
 * and full-width forms meet, case does not count, and lines that a mailer wrapped are whole again. Pure, linear, fails never.
 * Sources: UAX #15 (NFKC, stream-safe text), RFC 3676 §4 (wrapped lines).
 */
import { COMBINING_MAX } from "./limits.ts";

const LONG_COMBINING = new RegExp(`(\\p{M}{${COMBINING_MAX}})\\p{M}+`, "gu");

/** Japanese and Chinese are written without spaces: a line break between two such characters was put in by a mailer. */
const UNSPACED = "[\\u2e80-\\u30ff\\u3400-\\u9fff\\uf900-\\ufaff]";
const WRAPPED = new RegExp(`(?<=${UNSPACED})[ \\t]*\\r?\\n[ \\t]*(?=${UNSPACED})`, "gu");

/** What PostgreSQL refuses in text, or what would stand between letters unseen: NUL, lone surrogates; soft hyphen, zero-width marks. */
const UNSEEN = /[\u00ad\u200b-\u200f\u2060\ufeff]/g;

/**
 * @returns  NFKC, lower case, one space for each run of white space, none at the ends; no line breaks, no U+0000
 */
export function foldSearchText(text: string): string {
  return (
    text
      .replaceAll("\u0000", " ")
      .replace(UNSEEN, "")
      .replace(LONG_COMBINING, "$1")
      .toWellFormed()
      .normalize("NFKC")
      .toLowerCase()
      // Which of the two sigmas it is depends on what follows, and a word that is searched for may be cut anywhere.
      .replaceAll("\u03c2", "\u03c3")
      .replace(WRAPPED, "")
      .replace(/\s+/gu, " ")
      .trim()
  );
}
