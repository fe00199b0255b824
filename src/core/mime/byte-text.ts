/**
 * Helpers for `ByteText` (one character per octet). JavaScript's own `trim()` and `\s` also take 0xA0, which in UTF-8 is
 * half of a letter ("à" is C3 A0): raw text must never meet them.
 */
import type { ByteText } from "./structure.ts";

function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/** Remove ASCII white space at both ends. Linear whatever stands inside (a regular expression for the end is not). */
export function trimText(text: ByteText): ByteText {
  const [start, end] = trimmedRange(text);
  return text.slice(start, end);
}

/** Where the text without them begins and ends; equal when nothing is left. */
export function trimmedRange(text: ByteText): readonly [start: number, end: number] {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return [start, end];
}
