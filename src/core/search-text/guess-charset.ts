/**
 * Text whose charset is not declared, or is declared wrongly: found by what the octets can be. Better than `decodeText` for search,
 * where a guess costs nothing but a miss: it also tries what East Asian mailers send without a label. Pure, linear, fails never.
 *
 * Order: the declared charset when it fits, ISO-2022-JP by its escapes, UTF-8 when valid, what an HTML `<meta>` says, then Shift_JIS,
 * EUC-JP, EUC-KR, Big5 and GB18030 when the octets are valid there and look like text, else windows-1252.
 * Sources: WHATWG Encoding; JIS X 0208 row 4 and 5 (kana); KS X 1001 rows 16..40 (Hangul); GB 2312 rows 16..55 (common characters).
 */
import { decodeText, decodeTextNamed } from "../mime/charset.ts";
import { GUESS_BYTES } from "./limits.ts";

/** RFC 1468: JIS X 0208-1978 and -1983; JIS X 0201 kana of CP5022x. */
const ISO_2022_JP = ["\x1b$@", "\x1b$B", "\x1b(I"];

/** Names that ask for windows-1252. */
const WESTERN = /1252|8859-1$|latin-?1$|^l1$/iu;

const REPLACEMENT = "\ufffd";

/** A decoded text with more unreadable characters than this share was declared wrongly. */
const WRONG_SHARE = 0.01;

interface Candidate {
  readonly label: string;
  /** Which share of its characters may end in an octet above 0x7F. */
  readonly pairShare: readonly [least: number, most: number];
  /** Whether the sample, valid in this charset, reads like text of its language. */
  readonly fits: (sample: Sample) => boolean;
}

/** Non-ASCII characters of a decoded sample, counted by script. */
interface Sample {
  readonly all: number;
  readonly kana: number;
  readonly halfKana: number;
  readonly han: number;
  readonly hangul: number;
}

/** Japanese has kana in nearly every phrase; half-width ones are what EUC octets look like when read as Shift_JIS. */
const isJapanese = ({ all, kana, halfKana }: Sample) => kana >= all * 0.15 && halfKana <= all * 0.2;
const isKorean = ({ all, hangul }: Sample) => hangul >= all * 0.9;
const isChinese = ({ all, han, kana }: Sample) => all >= 4 && han >= all * 0.7 && kana <= all * 0.05;

const JAPANESE: readonly Candidate[] = [
  { label: "shift_jis", pairShare: [0, 1], fits: isJapanese },
  { label: "euc-jp", pairShare: [0.9, 1], fits: isJapanese },
];
const CANDIDATES: readonly Candidate[] = [
  ...JAPANESE,
  { label: "euc-kr", pairShare: [0.8, 1], fits: isKorean },
  // Two of five of its characters end in an ASCII octet.
  { label: "big5", pairShare: [0.4, 0.9], fits: isChinese },
  { label: "gb18030", pairShare: [0.8, 1], fits: isChinese },
];

/**
 * @param bytes    transfer encoding already undone
 * @param charset  as declared, "" for none
 * @param isHtml   a `<meta>` may name the charset
 */
export function decodeUnsure(bytes: Uint8Array, charset: string, isHtml: boolean): string {
  if (isIso2022Jp(bytes)) return decodeText(bytes, "iso-2022-jp");
  const declared = decodeTextNamed(bytes, charset);
  const isWestern = declared.charset === "windows-1252";
  if (!isWestern && !isMostlyWrong(declared.text)) return declared.text;
  const meta = isHtml ? metaCharset(bytes) : undefined;
  if (meta !== undefined) {
    const text = decodeText(bytes, meta);
    if (!isMostlyWrong(text)) return text;
  }
  // windows-1252 takes any octets. Where it was asked for, only what cannot be a coincidence speaks against it.
  const guessed = guessLabel(bytes, isWestern && WESTERN.test(charset) ? JAPANESE : CANDIDATES);
  return guessed === undefined ? declared.text : decodeText(bytes, guessed);
}

/** Escapes of ISO-2022-JP in 7-bit text, whatever was declared: no other charset of mail looks like that. */
function isIso2022Jp(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!ISO_2022_JP.some(mark => buffer.includes(mark, 0, "latin1"))) return false;
  return !buffer.some(octet => octet > 0x7f);
}

function isMostlyWrong(text: string): boolean {
  let wrong = 0;
  let other = 0;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) < 0x80) continue;
    other++;
    if (text[i] === REPLACEMENT) wrong++;
  }
  return wrong > other * WRONG_SHARE;
}

/** The label of the first charset in which the octets are valid and read like text. */
function guessLabel(bytes: Uint8Array, candidates: readonly Candidate[]): string | undefined {
  const sample = cutAtLine(bytes);
  const pairs = highPairShare(sample);
  for (const {
    label,
    fits,
    pairShare: [least, most],
  } of candidates) {
    if (pairs < least || pairs > most) continue;
    const text = decodeNearly(sample, label);
    if (text === undefined) continue;
    const counted = count(text);
    if (counted.all > 0 && fits(counted)) return label;
  }
  return undefined;
}

/** How many of the octets above 0x7F have another such behind them: all in EUC, few in western text, where letters stand between them. */
function highPairShare(bytes: Uint8Array): number {
  let pairs = 0;
  let high = 0;
  for (let i = 0; i < bytes.length; i++) {
    if ((bytes[i] ?? 0) <= 0x7f) continue;
    pairs++;
    if ((bytes[++i] ?? 0) > 0x7f) high++;
  }
  return pairs === 0 ? 0 : high / pairs;
}

/** No character is cut in two at a line end. */
function cutAtLine(bytes: Uint8Array): Uint8Array {
  if (bytes.length <= GUESS_BYTES) return bytes;
  const head = bytes.subarray(0, GUESS_BYTES);
  const lf = head.lastIndexOf(0x0a);
  return lf === -1 ? head : head.subarray(0, lf + 1);
}

/** Undefined unless nearly all of it is valid: one broken octet does not make it another charset. */
function decodeNearly(bytes: Uint8Array, label: string): string | undefined {
  const text = new TextDecoder(label).decode(bytes);
  return isMostlyWrong(text) ? undefined : text;
}

function count(text: string): Sample {
  const sample = { all: 0, kana: 0, halfKana: 0, han: 0, hangul: 0 };
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    sample.all++;
    if (unit >= 0x3041 && unit <= 0x30ff) sample.kana++;
    else if (unit >= 0xff61 && unit <= 0xff9f) sample.halfKana++;
    else if (unit >= 0xac00 && unit <= 0xd7a3) sample.hangul++;
    // Punctuation of East Asian texts counts with their characters.
    else if ((unit >= 0x4e00 && unit <= 0x9fff) || (unit >= 0x3000 && unit <= 0x303f) || unit >= 0xff00) {
      sample.han++;
    }
  }
  return sample;
}

/** Octets of an HTML text in which its `<meta>` is looked for. */
const META_BYTES = 4096;

function metaCharset(bytes: Uint8Array): string | undefined {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, META_BYTES));
  return /<meta[^>]{0,200}?charset\s{0,8}=\s{0,8}["']?([\w.:-]{1,64})/iu.exec(head.toString("latin1"))?.[1];
}
