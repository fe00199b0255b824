/** Measuring and cutting text by its length in JSON, without writing it (RFC 8259 §7, as {@link jsonLine} escapes). */

import { cutBy } from "./utf8-cut.ts";

/** Octets of one code point inside a JSON text in UTF-8. */
function bytesOf(codePoint: number): number {
  if (codePoint < 0x20) return SHORT_ESCAPES.has(codePoint) ? 2 : 6;
  if (codePoint === 0x22 || codePoint === 0x5c) return 2;
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  if (codePoint === 0x2028 || codePoint === 0x2029) return 6;
  // A lone surrogate is written as an escape.
  if (codePoint >= 0xd800 && codePoint <= 0xdfff) return 6;
  return codePoint < 0x10000 ? 3 : 4;
}

/** \b \t \n \f \r */
const SHORT_ESCAPES: ReadonlySet<number> = new Set([0x08, 0x09, 0x0a, 0x0c, 0x0d]);

/**
 * JSON that is one line for every reader. U+2028 and U+2029 are plain characters in JSON, and line breaks for some line readers, such
 * as `readline` of newer Node.js: a message with one in its subject would break the plugin.
 */
export function jsonLine(value: unknown): string {
  const text = JSON.stringify(value);
  return LINE_BREAKS.test(text)
    ? text.replaceAll(/\u2028/gu, "\\u2028").replaceAll(/\u2029/gu, "\\u2029")
    : text;
}

const LINE_BREAKS = /[\u2028\u2029]/u;

/** @returns the octets that `value` takes as {@link jsonLine} */
export function jsonBytes(value: unknown): number {
  return Buffer.byteLength(jsonLine(value));
}

/** @returns the longest start of `text` of at most `maxBytes` octets between the quotes of its JSON, cut between code points */
export function cutJson(text: string, maxBytes: number): string {
  // No UTF-16 unit takes more than six.
  return text.length * 6 <= maxBytes ? text : cutBy(bytesOf, text, maxBytes);
}
