/**
 * Unicode → octets of a named charset: the way back of `charset.ts`, for text that is put into mail somebody else wrote. What comes
 * out reads the same again, or nothing comes out. Never throws.
 *
 * `TextEncoder` knows UTF-8 alone. For the others the table is made by decoding every octet, or every pair, that a charset has.
 *
 * Sources: WHATWG Encoding (labels); RFC 1468 (ISO-2022-JP: back to US-ASCII before the end of a line)
 */
import { decodeText, decodeWestern, isWestern, labelOf } from "./charset.ts";

/**
 * @param text     lines end in CRLF
 * @param charset  the name as written, not empty
 * @returns        undefined: the charset is unknown, or cannot hold the text
 */
export function encodeText(text: string, charset: string): Uint8Array | undefined {
  const label = isWestern(charset) ? "windows-1252" : labelOf(charset);
  if (label === undefined) return undefined;
  const octets = encodeAs(text, label);
  return octets !== undefined && decodeText(octets, charset) === text ? octets : undefined;
}

function encodeAs(text: string, label: string): Uint8Array | undefined {
  if (/^[\x00-\x7f]*$/.test(text)) return Buffer.from(text, "latin1");
  if (label === "utf-8") return Buffer.from(text, "utf8");
  if (label === "iso-2022-jp") return encodeJis(text);
  return byTable(text, tableOf(label));
}

type Table = ReadonlyMap<string, readonly number[]>;

/** Each is made once: some ten milliseconds. As many as there are charsets, and they never change. */
const TABLES = new Map<string, Table>();

function tableOf(label: string, firstTrail = 0x40): Table {
  const key = `${label} ${firstTrail}`;
  const known = TABLES.get(key) ?? makeTable(label, firstTrail);
  TABLES.set(key, known);
  return known;
}

/**
 * Octets 0x80..0xFF, and pairs that begin with one; of two ways to write a character the first.
 *
 * @param firstTrail  smallest second octet of a pair
 */
function makeTable(label: string, firstTrail: number): Table {
  const decode = label === "windows-1252" ? decodeWestern : (octets: Uint8Array) => decodeText(octets, label);
  const table = new Map<string, readonly number[]>();
  const put = (character: string | undefined, octets: readonly number[]) => {
    if (character === undefined || character === "\ufffd" || table.has(character)) return;
    if (character.length === String.fromCodePoint(character.codePointAt(0) ?? 0).length)
      table.set(character, octets);
  };
  for (let octet = 0x80; octet < 0x100; octet++) put(decode(Buffer.from([octet])), [octet]);
  if (label === "windows-1252") return table;
  // One decoding for all pairs: LF is part of none.
  const pairs = Buffer.alloc(0x7e * (0xff - firstTrail) * 3, 0x0a);
  let length = 0;
  for (let lead = 0x81; lead < 0xff; lead++) {
    for (let trail = firstTrail; trail < 0xff; trail++, length += 3) pairs.set([lead, trail], length);
  }
  for (const [i, character] of decode(pairs).split("\n").entries())
    put(character === "" ? undefined : character, [...pairs.subarray(3 * i, 3 * i + 2)]);
  return table;
}

function byTable(text: string, table: Table): Uint8Array | undefined {
  const octets: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const written = code < 0x80 ? [code] : table.get(character);
    if (written === undefined) return undefined;
    octets.push(...written);
  }
  return Buffer.from(octets);
}

const TO_JIS = [0x1b, 0x24, 0x42];
const TO_ASCII = [0x1b, 0x28, 0x42];

/** JIS X 0208 is EUC-JP's pairs without their high bits. */
function encodeJis(text: string): Uint8Array | undefined {
  const table = tableOf("euc-jp", 0xa1);
  const octets: number[] = [];
  let isJis = false;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    const pair = code < 0x80 ? undefined : table.get(character);
    if (code >= 0x80 && (pair?.length !== 2 || pair.some(octet => octet < 0xa1))) return undefined;
    if ((pair !== undefined) !== isJis) {
      isJis = pair !== undefined;
      octets.push(...(isJis ? TO_JIS : TO_ASCII));
    }
    octets.push(...(pair === undefined ? [code] : pair.map(octet => octet & 0x7f)));
  }
  return Buffer.from(isJis ? [...octets, ...TO_ASCII] : octets);
}
