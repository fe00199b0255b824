/**
 * The collation i;unicode-casemap: every character in its simple titlecase form, then decomposed; two texts compare as the octets of
 * what comes out. Pure. Source: RFC 5051 §2; UnicodeData.txt for which simple titlecase differs from what `toUpperCase` gives.
 *
 * A mark that stands behind several of a base character is put in canonical order, which RFC 5051 does not do: texts that look the same
 * meet more often.
 */

const ASCII = /^[\x00-\x7f]*$/u;
/** Georgian letters are their own titlecase, though they have capitals. */
const OWN_TITLECASE = /[\u10d0-\u10fa\u10fd-\u10ff]/u;
/** Ǆ, Ǉ, Ǌ, Ǳ: three code points each, the one in the middle is the titlecase. */
const DIGRAPHS = /[\u01c4-\u01cc\u01f1-\u01f3]/u;
/** Greek with iota subscript: `toUpperCase` writes the iota out. */
const IOTA_SUBSCRIPT = /[\u1f80-\u1f87\u1f90-\u1f97\u1fa0-\u1fa7\u1fb3\u1fc3\u1ff3]/u;

/** @returns equal for texts that are equal under the collation; its order is that of code points */
export function casemap(text: string): string {
  if (ASCII.test(text)) return text.toUpperCase();
  let titled = "";
  for (const character of text) titled += titlecase(character);
  return titled.normalize("NFKD");
}

function titlecase(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return character.toUpperCase();
  if (OWN_TITLECASE.test(character)) return character;
  if (DIGRAPHS.test(character)) {
    const first = code < 0x1f1 ? 0x1c4 : 0x1f1;
    return String.fromCodePoint(code - ((code - first) % 3) + 1);
  }
  if (IOTA_SUBSCRIPT.test(character)) return String.fromCodePoint(code + (code < 0x1fb0 ? 8 : 9));
  const upper = character.toUpperCase();
  // Simple mappings only: ß has none.
  return upper.length === character.length ? upper : character;
}
