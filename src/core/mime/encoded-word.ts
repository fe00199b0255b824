/**
 * RFC 2047 encoded words in header text. Tolerant where mail is: spaces inside a word, a charset that is wrong, a
 * character cut in two between neighbouring words. A word that cannot be read stays as it was written. One pass.
 */
import { textPieces } from "./charset.ts";
import type { ByteText } from "./structure.ts";

interface Word {
  readonly charset: string;
  readonly bytes: Buffer;
  /** Index after `?=`. */
  readonly end: number;
}

/** `=?charset?B?` */
const WORD_BEGIN = /=\?([!#$%&'*+\-.0-9A-Z^_`a-z{|}~:]+)\?([BQ])\?/iy;
const BASE64 = /^[A-Za-z0-9+/]*$/;
const PADDING = /^(?:=[ \t\r\n]*){0,3}$/;
/** Characters of a word that are decoded in one step, of a text in which words are looked for, and words that are joined. */
const PIECE_CHARS = 16_384;
const LOOKED_PER_STEP = 1024;
const WORDS_PER_STEP = 1024;

/** Where it says nothing yet it yields nothing: others may have their turn. */
type Silent<Result> = Generator<"", Result>;

function* decodeQ(text: ByteText): Silent<Buffer> {
  const octets: Buffer[] = [];
  for (let at = 0; at < text.length; ) {
    const end = beforeEscape(text, at + PIECE_CHARS);
    octets.push(unescapeQ(text.slice(at, end)));
    at = end;
    if (at < text.length) yield "";
  }
  return yield* joined(octets);
}

/** The last place up to `end` where no `=41` is cut in two. Looks no further back: a word of megabytes may have none. */
function beforeEscape(text: ByteText, end: number): number {
  if (end >= text.length) return text.length;
  if (text.charAt(end - 1) === "=") return end - 1;
  return text.charAt(end - 2) === "=" ? end - 2 : end;
}

function unescapeQ(text: ByteText): Buffer {
  const spaced = text.replaceAll("_", " ");
  const octets = spaced.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(octets, "latin1");
}

/** @returns undefined: it is not base64 */
function* decodeB(text: ByteText): Silent<Buffer | undefined> {
  const padding = text.indexOf("=");
  const end = padding === -1 ? text.length : padding;
  if (!PADDING.test(text.slice(end))) return undefined;
  const octets: Buffer[] = [];
  let rest = "";
  for (let at = 0; at < end; at += PIECE_CHARS) {
    const compact = rest + text.slice(at, Math.min(at + PIECE_CHARS, end)).replace(/[ \t\r\n]+/g, "");
    if (!BASE64.test(compact)) return undefined;
    const whole = compact.length - (compact.length % 4);
    octets.push(Buffer.from(compact.slice(0, whole), "base64"));
    rest = compact.slice(whole);
    if (at + PIECE_CHARS < end) yield "";
  }
  octets.push(Buffer.from(rest, "base64"));
  return yield* joined(octets);
}

function* joined(parts: readonly Buffer[]): Silent<Buffer> {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const all = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const [i, part] of parts.entries()) {
    at += part.copy(all, at);
    if (i % WORDS_PER_STEP === WORDS_PER_STEP - 1) yield "";
  }
  return all;
}

/**
 * Read the encoded word that begins at `start` (where `=?` stands). Looks no further than the next `?` that does not
 * fit, so trying every `=?` of a hostile value stays linear.
 */
function* readWord(text: ByteText, start: number): Silent<Word | undefined> {
  WORD_BEGIN.lastIndex = start;
  const begin = WORD_BEGIN.exec(text);
  if (begin === null) return undefined;
  const [matched, name = "", encoding = ""] = begin;
  const from = start + matched.length;
  const close = text.indexOf("?", from);
  if (close === -1 || text.charAt(close + 1) !== "=") return undefined;
  const payload = text.slice(from, close);
  // RFC 2231 §5: a language may follow the charset.
  const charset = name.replace(/\*.*$/, "").toLowerCase();
  const bytes = yield* encoding.toUpperCase() === "Q" ? decodeQ(payload) : decodeB(payload);
  return bytes === undefined ? undefined : { charset, bytes, end: close + 2 };
}

/** Neighbouring words of one charset are decoded as one run of bytes: mailers cut characters in two. */
class WordRun {
  #charset = "";
  #bytes: Buffer[] = [];

  get open(): boolean {
    return this.#bytes.length > 0;
  }

  *add(word: Word): Generator<string> {
    if (this.open && this.#charset !== word.charset) yield* this.flush();
    this.#charset = word.charset;
    this.#bytes.push(word.bytes);
  }

  *flush(): Generator<string> {
    const bytes = this.#bytes;
    this.#bytes = [];
    if (bytes.length > 0) yield* textPieces(yield* joined(bytes), this.#charset);
  }
}

function* plainPieces(text: ByteText): Generator<string> {
  if (/[\x1b\x80-\xff]/.test(text)) yield* textPieces(Buffer.from(text, "latin1"), "");
  else for (let at = 0; at < text.length; at += PIECE_CHARS) yield text.slice(at, at + PIECE_CHARS);
}

/**
 * Decode unfolded header text: encoded words, and raw 8-bit as UTF-8 if valid, else windows-1252 (raw ISO-2022-JP with
 * its escapes is recognised too).
 *
 * @param text  octets as characters
 * @returns     Unicode; controls are left in
 */
export function decodeWords(text: ByteText): string {
  let decoded = "";
  for (const piece of wordPieces(text)) decoded += piece;
  return decoded;
}

/** As {@link decodeWords}, in pieces: megabytes take longer than others may wait. A piece may be empty. */
export function* wordPieces(text: ByteText): Generator<string> {
  const run = new WordRun();
  let done = 0;
  let lookedAt = 0;
  let at = text.indexOf("=?");
  while (at !== -1) {
    const word = yield* readWord(text, at);
    if (at - lookedAt >= LOOKED_PER_STEP) {
      yield "";
      lookedAt = at;
    }
    if (word === undefined) {
      at = text.indexOf("=?", at + 2);
      continue;
    }
    const between = text.slice(done, at);
    // RFC 2047 §6.2: white space between two encoded words is not shown.
    if (!(run.open && /^[ \t\r\n]*$/.test(between))) {
      yield* run.flush();
      yield* plainPieces(between);
    }
    yield* run.add(word);
    done = word.end;
    at = text.indexOf("=?", done);
  }
  yield* run.flush();
  yield* plainPieces(text.slice(done));
}
