/**
 * Undoing a Content-Transfer-Encoding leniently (RFC 2045 §6): broken octets are passed over, never an error. For plugin
 * payloads and FETCH BINARY; what is stored and served else by IMAP stays as it came.
 */

const CR = 0x0d;
const LF = 0x0a;
const EQUALS = 0x3d;

type Encoding = "identity" | "base64" | "quoted-printable";

function encodingOf(written: string | undefined): Encoding | undefined {
  switch ((written ?? "7bit").trim().toLowerCase()) {
    case "7bit":
    case "8bit":
    case "binary":
    case "":
      return "identity";
    case "base64":
      return "base64";
    case "quoted-printable":
      return "quoted-printable";
    default:
      return undefined;
  }
}

/** True for an encoding that can be undone; a part with another one is no text. */
export function isTransferEncoding(written: string): boolean {
  return encodingOf(written) !== undefined;
}

/** @returns the octets, or undefined for an encoding nobody knows: such a part is no text */
export function decodeTransfer(encoded: Uint8Array, encoding: string | undefined): Uint8Array | undefined {
  switch (encodingOf(encoding)) {
    case "identity":
      return encoded;
    case "base64":
      return new Base64().decode(encoded);
    case "quoted-printable":
      return decodeQuotedPrintable(encoded);
    case undefined:
      return undefined;
  }
}

/**
 * Undoes the encoding of a part that comes in pieces of any size; the octets are the same however it is cut into pieces. Holds one line
 * at most. What nobody knows stays as it is.
 */
export class TransferDecoder {
  readonly #encoding: Encoding;
  readonly #base64 = new Base64();
  /** Start of a line of quoted-printable. */
  #line: Buffer = Buffer.alloc(0);

  constructor(encoding: string) {
    this.#encoding = encodingOf(encoding) ?? "identity";
  }

  write(piece: Uint8Array): Uint8Array {
    if (this.#encoding === "identity") return piece;
    if (this.#encoding === "base64") return this.#base64.decode(piece);
    const text = Buffer.concat([this.#line, piece]);
    const decoded: Uint8Array[] = [];
    let from = 0;
    for (const to of cuts(text)) {
      decoded.push(decodeQuotedPrintable(text.subarray(from, to)));
      from = to;
    }
    this.#line = Buffer.from(text.subarray(from));
    return Buffer.concat(decoded);
  }

  /** @returns what was held back */
  end(): Uint8Array {
    return decodeQuotedPrintable(this.#line);
  }
}

/** Longest line of quoted-printable that is decoded in one piece; RFC 2045 §6.7 allows 76 characters. */
const MAX_LINE_BYTES = 64 * 1024;
/** Longest padding after the `=` of a soft line break that is looked over. */
const MAX_SOFT_PADDING = 80;
/** From an `=` on: the padding and a line break. */
const SOFT_BREAK_BYTES = MAX_SOFT_PADDING + 3;

/**
 * Where text that begins a line is cut: behind line ends, and in a line that is too long at a place that depends on the line alone and
 * not within what an `=` begins. Only white space at its end is told apart wrongly there.
 */
function* cuts(text: Buffer): Iterable<number> {
  let from = 0;
  let line = 0;
  for (;;) {
    const end = text.indexOf(LF, line) + 1;
    if (end > 0 && end - line <= MAX_LINE_BYTES) {
      line = end;
      continue;
    }
    if (line > from) yield line;
    from = line;
    if (text.length - line <= MAX_LINE_BYTES) return;
    const most = line + MAX_LINE_BYTES;
    const equals = text.subarray(most - SOFT_BREAK_BYTES, most).indexOf(EQUALS);
    line = equals < 0 ? most : most - SOFT_BREAK_BYTES + equals;
    yield line;
    from = line;
  }
}

/** Value of each base64 octet; -1 for all others (RFC 4648 §4, and the URL alphabet that some writers mix in). */
const BASE64_VALUES = ((): Int8Array => {
  const values = new Int8Array(256).fill(-1);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (let i = 0; i < alphabet.length; i++) values[alphabet.charCodeAt(i)] = i;
  values[0x2d] = 62;
  values[0x5f] = 63;
  return values;
})();

/** Octets outside the alphabet are passed over; `=` ends a group, and a further group may follow (joined encodings). */
class Base64 {
  #bits = 0;
  #held = 0;

  decode(encoded: Uint8Array): Uint8Array {
    const out = new Uint8Array(Math.ceil((encoded.length * 3) / 4) + 1);
    let length = 0;
    let bits = this.#bits;
    let held = this.#held;
    for (const octet of encoded) {
      const value = BASE64_VALUES[octet] ?? -1;
      if (value < 0) {
        if (octet === EQUALS) held = 0;
        continue;
      }
      bits = ((bits << 6) | value) & 0xffffff;
      held += 6;
      if (held < 8) continue;
      held -= 8;
      out[length++] = (bits >> held) & 0xff;
    }
    this.#bits = bits;
    this.#held = held;
    return out.subarray(0, length);
  }
}

/** RFC 2045 §6.7; white space at line ends is transport padding, a lone `=` stays as it is. */
function decodeQuotedPrintable(encoded: Uint8Array): Uint8Array {
  const out = new Uint8Array(encoded.length);
  let length = 0;
  /** Length of the output up to the last octet that is no padding. */
  let solid = 0;
  for (let i = 0; i < encoded.length; i++) {
    const octet = encoded[i] ?? 0;
    if (octet === LF || octet === CR) {
      length = Math.min(length, solid);
      out[length++] = octet;
      solid = length;
    } else if (octet !== EQUALS) {
      out[length++] = octet;
      if (octet !== 0x20 && octet !== 0x09) solid = length;
    } else {
      const soft = softBreakEnd(encoded, i + 1);
      const high = hexValue(encoded[i + 1]);
      const low = hexValue(encoded[i + 2]);
      if (soft !== undefined) {
        i = soft - 1;
        solid = length;
      } else {
        const escaped = high >= 0 && low >= 0;
        out[length++] = escaped ? (high << 4) | low : octet;
        if (escaped) i += 2;
        solid = length;
      }
    }
  }
  return out.subarray(0, length);
}

/** @returns where the next line begins when only padding and a line break follow, else undefined */
function softBreakEnd(encoded: Uint8Array, start: number): number | undefined {
  let i = start;
  while (i - start < MAX_SOFT_PADDING && (encoded[i] === 0x20 || encoded[i] === 0x09)) i++;
  if (i >= encoded.length) return i;
  if (encoded[i] === CR && encoded[i + 1] === LF) return i + 2;
  return encoded[i] === LF ? i + 1 : undefined;
}

function hexValue(octet: number | undefined): number {
  if (octet === undefined) return -1;
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const lower = octet | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
