/**
 * Bytes of any named charset → Unicode. Used for header values and, after the commit, for text parts. Never throws: an
 * unknown name falls back to detection, undecodable bytes become U+FFFD.
 *
 * Sources: WHATWG Encoding (labels); RFC 2047 §5; measured on Node 20: `TextDecoder` throws on the names in ALIASES, and
 * its `windows-1252` leaves 0x80..0x9F as C1 controls, hence the own table.
 */

/** Names that mail uses and `TextDecoder` does not know → its label. Compared in lower case. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["cp932", "shift_jis"],
  ["ms932", "shift_jis"],
  ["windows-932", "shift_jis"],
  ["mskanji", "shift_jis"],
  ["sjis-win", "shift_jis"],
  ["shift-jis", "shift_jis"],
  ["cp50220", "iso-2022-jp"],
  ["cp50221", "iso-2022-jp"],
  ["cp50222", "iso-2022-jp"],
  ["iso-2022-jp-1", "iso-2022-jp"],
  ["iso-2022-jp-2", "iso-2022-jp"],
  ["iso-2022-jp-3", "iso-2022-jp"],
  ["iso-2022-jp-ms", "iso-2022-jp"],
  ["iso-2022-jp-2004", "iso-2022-jp"],
  ["cp51932", "euc-jp"],
  ["eucjp", "euc-jp"],
  ["eucjp-ms", "euc-jp"],
  ["eucjp-win", "euc-jp"],
  ["cp936", "gbk"],
  ["ms936", "gbk"],
  ["cp949", "euc-kr"],
  ["cp950", "big5"],
  ["cp1250", "windows-1250"],
  ["cp1251", "windows-1251"],
  ["cp1252", "windows-1252"],
  ["cp866", "ibm866"],
  ["utf8mb4", "utf-8"],
]);

/** WHATWG labels of these mean windows-1252; us-ascii with 8-bit content is mislabelled and goes to detection instead. */
const WESTERN: ReadonlySet<string> = new Set([
  "iso-8859-1",
  "iso8859-1",
  "iso_8859-1",
  "latin1",
  "latin-1",
  "l1",
  "windows-1252",
  "cp1252",
  "x-cp1252",
]);

/** Names that say nothing about 8-bit content. UTF-7 is among them: decoding it would let scripts hide in plain ASCII. */
const UNINFORMATIVE: ReadonlySet<string> = new Set([
  "",
  "us-ascii",
  "ascii",
  "ansi_x3.4-1968",
  "utf-7",
  "unicode-1-1-utf-7",
  "x-unknown",
  "unknown-8bit",
  "unknown",
  "8bit",
  "7bit",
  "default",
  "none",
  "x-user-defined",
]);

/** windows-1252 0x80..0x9F. */
const C1_OF_1252 =
  "\u20ac\u0081\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u008d\u017d\u008f" +
  "\u0090\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u009d\u017e\u0178";

const ESC = 0x1b;

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Decode windows-1252, which is also what iso-8859-1 means in practice. */
export function decodeWestern(bytes: Uint8Array): string {
  const text = bufferOf(bytes).toString("latin1");
  return text.replace(/[\x80-\x9f]/g, c => C1_OF_1252.charAt(c.charCodeAt(0) - 0x80));
}

/** The text when the bytes are valid UTF-8, else undefined. */
function validUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Not UTF-8: that is the question asked, not a failure.
    return undefined;
  }
}

function decodeLabel(bytes: Uint8Array, label: string): NamedText | undefined {
  try {
    // One decoder per use: a shared one would keep shift states from a message that broke off.
    const decoder = new TextDecoder(label, { ignoreBOM: true });
    const octets = decoder.encoding === "iso-2022-jp" ? withoutIdleEscapes(bytes) : bytes;
    return { text: decoder.decode(octets), charset: decoder.encoding };
  } catch {
    // RangeError: a name nobody knows. The caller detects instead.
    return undefined;
  }
}

/**
 * WHATWG makes U+FFFD of an escape sequence that another follows at once. Mail has that wherever a long subject was cut into encoded
 * words, each of which ends in ASCII (RFC 2047 §5) and is joined with the next.
 */
function withoutIdleEscapes(bytes: Uint8Array): Uint8Array {
  if (bytes.indexOf(ESC) === -1) return bytes;
  const text = bufferOf(bytes).toString("latin1");
  return Buffer.from(text.replace(/\x1b(?:\([BJI]|\$[@B])(?=\x1b[($])/g, ""), "latin1");
}

/** ESC `$` or ESC `(`: the announcers of ISO-2022-JP (RFC 1468). */
function hasJapaneseEscape(bytes: Uint8Array): boolean {
  const buffer = bufferOf(bytes);
  return (
    buffer.includes("\x1b$", 0, "latin1") ||
    buffer.includes("\x1b(J", 0, "latin1") ||
    buffer.includes("\x1b(I", 0, "latin1")
  );
}

/** Text and the charset that it was read as, by its WHATWG name; `us-ascii` for octets that read the same in every charset. */
export interface NamedText {
  readonly text: string;
  readonly charset: string;
}

/**
 * Decode bytes of unknown charset: ISO-2022-JP when 7-bit with its escapes, else UTF-8 if valid, else windows-1252.
 * (An escape sequence is valid UTF-8 too, so it is asked first, and only of 7-bit content.)
 */
export function detectText(bytes: Uint8Array): string {
  return detectNamed(bytes).text;
}

function detectNamed(bytes: Uint8Array): NamedText {
  const buffer = bufferOf(bytes);
  if (bytes.indexOf(ESC) !== -1 && hasJapaneseEscape(bytes) && !buffer.some(octet => octet > 0x7f)) {
    return decodeLabel(bytes, "iso-2022-jp") ?? westernNamed(bytes);
  }
  const utf8 = validUtf8(bytes);
  return utf8 === undefined ? westernNamed(bytes) : { text: utf8, charset: "utf-8" };
}

function westernNamed(bytes: Uint8Array): NamedText {
  return { text: decodeWestern(bytes), charset: "windows-1252" };
}

/**
 * Decode text of a named charset. Never throws.
 *
 * @param bytes    the text, transfer encoding already undone
 * @param charset  the name as written; unknown, empty or `us-ascii`: {@link detectText}
 * @returns        Unicode; a BOM is kept, undecodable bytes are U+FFFD
 */
export function decodeText(bytes: Uint8Array, charset: string): string {
  return decodeNamed(bytes, charset).text;
}

/** As {@link decodeText}, with the charset that was used: aliases resolved, detection's finding, `us-ascii` where it is the same. */
export function decodeTextNamed(bytes: Uint8Array, charset: string): NamedText {
  const named = decodeNamed(bytes, charset);
  return isPlainAscii(bytes) ? { ...named, charset: "us-ascii" } : named;
}

/** A loop of its own: a callback for each octet costs ten times as much. */
function isPlainAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) {
    const octet = bytes[i] ?? 0;
    if (octet >= 0x80 || octet === ESC) return false;
  }
  return true;
}

/** True for a name that means windows-1252 in mail. */
export function isWestern(charset: string): boolean {
  return WESTERN.has(charset.trim().toLowerCase());
}

/** The WHATWG name of a charset; undefined when nobody knows it, or it says nothing. */
export function labelOf(charset: string): string | undefined {
  const name = charset.trim().toLowerCase();
  return UNINFORMATIVE.has(name) ? undefined : decodeLabel(new Uint8Array(), aliasOf(name))?.charset;
}

function aliasOf(name: string): string {
  return ALIASES.get(name) ?? (name.startsWith("iso-2022-jp") ? "iso-2022-jp" : name);
}

function decodeNamed(bytes: Uint8Array, charset: string): NamedText {
  const name = charset.trim().toLowerCase();
  if (UNINFORMATIVE.has(name)) return detectNamed(bytes);
  if (WESTERN.has(name)) return westernNamed(bytes);
  return decodeLabel(bytes, aliasOf(name)) ?? detectNamed(bytes);
}
