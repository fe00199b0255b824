/**
 * RFC 2047 encoded words in header text. Tolerant where mail is: spaces inside a word, a charset that is wrong, a
 * character cut in two between neighbouring words. A word that cannot be read stays as it was written. One pass.
 */
import { decodeText, detectText } from "./charset.ts";
import type { ByteText } from "./structure.ts";

interface Word {
  readonly charset: string;
  readonly bytes: Buffer;
  /** Index after `?=`. */
  readonly end: number;
}

const CHARSET = /[!#$%&'*+\-.0-9A-Z^_`a-z{|}~:]/;
const BASE64 = /^[A-Za-z0-9+/]*={0,3}$/;

function decodeQ(text: ByteText): Buffer {
  const spaced = text.replaceAll("_", " ");
  const octets = spaced.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(octets, "latin1");
}

/**
 * Read the encoded word that begins at `start` (where `=?` stands). Looks no further than the next `?` that does not
 * fit, so trying every `=?` of a hostile value stays linear.
 */
function readWord(text: ByteText, start: number): Word | undefined {
  let at = start + 2;
  while (at < text.length && CHARSET.test(text.charAt(at))) at++;
  const encoding = text.charAt(at + 1).toUpperCase();
  if (at === start + 2 || text.charAt(at) !== "?" || text.charAt(at + 2) !== "?") return undefined;
  if (encoding !== "B" && encoding !== "Q") return undefined;
  const from = at + 3;
  const close = text.indexOf("?", from);
  if (close === -1 || text.charAt(close + 1) !== "=") return undefined;
  const payload = text.slice(from, close);
  // RFC 2231 §5: a language may follow the charset.
  const charset = text
    .slice(start + 2, at)
    .replace(/\*.*$/, "")
    .toLowerCase();
  if (encoding === "Q") return { charset, bytes: decodeQ(payload), end: close + 2 };
  const compact = payload.replace(/[ \t\r\n]+/g, "");
  if (!BASE64.test(compact)) return undefined;
  return { charset, bytes: Buffer.from(compact, "base64"), end: close + 2 };
}

/** Neighbouring words of one charset are decoded as one run of bytes: mailers cut characters in two. */
class WordRun {
  readonly #out: string[];
  #charset = "";
  #bytes: Buffer[] = [];

  constructor(out: string[]) {
    this.#out = out;
  }

  get open(): boolean {
    return this.#bytes.length > 0;
  }

  add(word: Word): void {
    if (this.open && this.#charset !== word.charset) this.flush();
    this.#charset = word.charset;
    this.#bytes.push(word.bytes);
  }

  flush(): void {
    if (this.open) this.#out.push(decodeText(Buffer.concat(this.#bytes), this.#charset));
    this.#bytes = [];
  }
}

function plainText(text: ByteText): string {
  return /[\x1b\x80-\xff]/.test(text) ? detectText(Buffer.from(text, "latin1")) : text;
}

/**
 * Decode unfolded header text: encoded words, and raw 8-bit as UTF-8 if valid, else windows-1252 (raw ISO-2022-JP with
 * its escapes is recognised too).
 *
 * @param text  octets as characters
 * @returns     Unicode; controls are left in
 */
export function decodeWords(text: ByteText): string {
  const out: string[] = [];
  const run = new WordRun(out);
  let done = 0;
  let at = text.indexOf("=?");
  while (at !== -1) {
    const word = readWord(text, at);
    if (word === undefined) {
      at = text.indexOf("=?", at + 2);
      continue;
    }
    const between = text.slice(done, at);
    // RFC 2047 §6.2: white space between two encoded words is not shown.
    if (!(run.open && /^[ \t\r\n]*$/.test(between))) {
      run.flush();
      out.push(plainText(between));
    }
    run.add(word);
    done = word.end;
    at = text.indexOf("=?", done);
  }
  run.flush();
  out.push(plainText(text.slice(done)));
  return out.join("");
}
