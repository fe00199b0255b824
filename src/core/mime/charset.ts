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

/** The text when the bytes are valid UTF-8, else undefined: what was not comes back as other octets. Exceptions cost far more. */
function validUtf8(bytes: Uint8Array): string | undefined {
  const text = bufferOf(bytes).toString("utf8");
  return Buffer.from(text).equals(bytes) ? text : undefined;
}

type Decoder = InstanceType<typeof TextDecoder>;

function decoderOf(label: string): Decoder | undefined {
  try {
    // One decoder per use: a shared one would keep shift states from a message that broke off.
    return new TextDecoder(label, { ignoreBOM: true });
  } catch {
    // RangeError: a name nobody knows. The caller detects instead.
    return undefined;
  }
}

/**
 * WHATWG makes U+FFFD of an escape sequence that another follows at once. Mail has that wherever a long subject was cut into encoded
 * words, each of which ends in ASCII (RFC 2047 §5) and is joined with the next.
 */
const IDLE_ESCAPE = /\x1b(?:\([BJI]|\$[@B])(?=\x1b[($])/g;
/** Octets before the end that may begin one. */
const ESCAPE_HELD = 4;

/** Without {@link IDLE_ESCAPE}; takes octets in pieces. */
class EscapeFilter {
  #held = "";

  /** @param last  nothing follows */
  add(bytes: Uint8Array, last: boolean): Uint8Array {
    const text = this.#held + bufferOf(bytes).toString("latin1");
    const open = last ? -1 : text.indexOf("\x1b", Math.max(0, text.length - ESCAPE_HELD));
    const end = open === -1 ? text.length : open;
    this.#held = text.slice(end);
    // What is held is looked at as what follows: in it no sequence is whole.
    const filtered = text.replace(IDLE_ESCAPE, "");
    return Buffer.from(filtered.slice(0, filtered.length - (text.length - end)), "latin1");
  }
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
  return decodeNamed(bytes, "").text;
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
  return UNINFORMATIVE.has(name) ? undefined : decoderOf(aliasOf(name))?.encoding;
}

function aliasOf(name: string): string {
  return ALIASES.get(name) ?? (name.startsWith("iso-2022-jp") ? "iso-2022-jp" : name);
}

function decodeNamed(bytes: Uint8Array, charset: string): NamedText {
  const pieces = textPieces(bytes, charset);
  let text = "";
  for (;;) {
    const piece = pieces.next();
    if (piece.done === true) return { text, charset: piece.value };
    text += piece.value;
  }
}

/** Octets that are decoded in one step. */
const PIECE_BYTES = 16_384;

/**
 * As {@link decodeText}, in pieces: megabytes take longer than others may wait. A piece may be empty.
 * @returns  the charset that was used, by its WHATWG name
 */
export function* textPieces(bytes: Uint8Array, charset: string): Generator<string, string> {
  const name = charset.trim().toLowerCase();
  if (WESTERN.has(name)) return yield* westernPieces(bytes);
  const decoder = UNINFORMATIVE.has(name) ? undefined : decoderOf(aliasOf(name));
  return yield* decoder === undefined ? detectedPieces(bytes) : decoderPieces(bytes, decoder);
}

function* detectedPieces(bytes: Uint8Array): Generator<string, string> {
  if (bytes.indexOf(ESC) !== -1 && hasJapaneseEscape(bytes) && (yield* isSevenBit(bytes))) {
    return yield* decoderPieces(bytes, new TextDecoder("iso-2022-jp", { ignoreBOM: true }));
  }
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = characterStart(bytes, at + PIECE_BYTES);
    const text = validUtf8(bytes.subarray(at, end));
    if (text === undefined) return yield* westernPieces(bytes);
    texts.push(text);
    at = end;
    yield "";
  }
  yield* texts;
  return "utf-8";
}

/** The last place up to `end` where no character of UTF-8 is cut in two; `end` itself among more continuation octets than one has. */
function characterStart(bytes: Uint8Array, end: number): number {
  for (let at = end; at > end - 4; at--) if (((bytes[at] ?? 0) & 0xc0) !== 0x80) return at;
  return end;
}

function* isSevenBit(bytes: Uint8Array): Generator<string, boolean> {
  for (let i = 0; i < bytes.length; i++) {
    if ((bytes[i] ?? 0) > 0x7f) return false;
    if (i % PIECE_BYTES === PIECE_BYTES - 1) yield "";
  }
  return true;
}

function* westernPieces(bytes: Uint8Array): Generator<string, string> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    yield decodeWestern(bytes.subarray(at, at + PIECE_BYTES));
  }
  return "windows-1252";
}

function* decoderPieces(bytes: Uint8Array, decoder: Decoder): Generator<string, string> {
  const filter = decoder.encoding === "iso-2022-jp" ? new EscapeFilter() : undefined;
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    const stream = at + PIECE_BYTES < bytes.length;
    yield decoder.decode(filter === undefined ? piece : filter.add(piece, !stream), { stream });
  }
  return decoder.encoding;
}
