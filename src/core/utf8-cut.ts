/** Measuring and cutting text by its length in UTF-8, without encoding it. */

/** Bytes of one code point in UTF-8 (RFC 3629 §3); a lone surrogate is written as U+FFFD, three bytes. */
function bytesOf(codePoint: number): number {
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}

/** @returns the bytes `text` takes in UTF-8 */
export function utf8Length(text: string): number {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const codePoint = text.codePointAt(i) ?? 0;
    bytes += bytesOf(codePoint);
    if (codePoint > 0xffff) i++;
  }
  return bytes;
}

/** @returns the longest start of `text` of at most `maxBytes` bytes of UTF-8, cut between code points */
export function cutUtf8(text: string, maxBytes: number): string {
  // No UTF-16 unit takes more than three bytes.
  return text.length * 3 <= maxBytes ? text : cutBy(bytesOf, text, maxBytes);
}

/** @returns the longest start of `text` whose code points take at most `maxBytes` together, as `bytesOf` counts them */
export function cutBy(bytesOf: (codePoint: number) => number, text: string, maxBytes: number): string {
  let bytes = 0;
  for (let i = 0; i < text.length; i++) {
    const codePoint = text.codePointAt(i) ?? 0;
    bytes += bytesOf(codePoint);
    if (bytes > maxBytes) return text.slice(0, i);
    if (codePoint > 0xffff) i++;
  }
  return text;
}
