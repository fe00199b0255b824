// What a reader sees of a message → plain text to search in, in linear time whatever comes.

/** Characters of one text; the host sends no more than a MiB of it, and NFKC may make it longer. */
const MAX_CHARACTERS = 4 * 1024 * 1024;
/** Seen by nobody, and good for breaking a number up. */
const INVISIBLE =
  /[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]|\u034f|[\ufe00-\ufe0f]/gu;
/** To sort a run of combining marks takes NFKC quadratic time; no language needs that many. */
const MARKS = /([\p{M}\uff9e\uff9f]{8})[\p{M}\uff9e\uff9f]+/gu;

/** Fullwidth digits and letters, halfwidth katakana, unusual blanks: all in their usual form. @param {string} text */
export function usual(text) {
  const visible = text.replace(INVISIBLE, "").replace(MARKS, "$1");
  return visible.normalize("NFKC").slice(0, MAX_CHARACTERS);
}

const NAMED = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
  shy: "",
  ndash: "-",
  mdash: "-",
};

/** A tag within a line is nothing, so that no tag parts a number; one that ends a line ends it. @param {string} html */
export function textOfHtml(html) {
  return html
    .replace(/\s+/gu, " ")
    .replace(/<(?:\/?(?:p|div|br|tr|li|h[1-6]|table|ul|ol|dl|dt|dd|pre|blockquote)\b|!--)[^<>]*>?/giu, "\n")
    .replace(/<\/?t[dh]\b[^<>]*>/giu, "\t")
    .replace(/<[a-z/!?][^<>]*>/giu, "")
    .replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,5}));/giu, (all, decimal, hex, name) => {
      if (name !== undefined) return NAMED[name.toLowerCase()] ?? all;
      const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : "";
    });
}

/** @param {Uint8Array} bytes  maybe only the start of a file @returns {string | undefined} undefined: it is no text */
export function textOfBytes(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  const octets = Buffer.from(bytes).toString("latin1");
  if (/[\x00-\x08\x0e-\x1a\x1c-\x1f]/u.test(octets)) return undefined;
  // Every text in Shift_JIS that is no accident fails as EUC-JP; the other way round it would not.
  for (const charset of octets.includes("\x1b$") ? ["iso-2022-jp"] : ["utf-8", "euc-jp", "shift_jis"]) {
    try {
      return new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: true });
    } catch {
      // Not this one.
    }
  }
  return octets;
}
