/** Making a Content-Transfer-Encoding (RFC 2045 §6.7, §6.8): octets in, lines that end in CRLF out. Pure. */

/** RFC 2045 §6.7 (5), §6.8: characters of one line. */
const LINE_CHARS = 76;
const CR = 0x0d;
const LF = 0x0a;
const EQUALS = 0x3d;
const DASH = 0x2d;
const HEX = "0123456789ABCDEF";

/** Lines of base64, the last one with its CRLF. */
export function encodeBase64(octets: Uint8Array): Buffer {
  const text = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString("base64");
  const lines = text.match(new RegExp(`.{1,${LINE_CHARS}}`, "g")) ?? [];
  return Buffer.from(lines.map(line => `${line}\r\n`).join(""), "latin1");
}

/**
 * Quoted-printable of text: CRLF stays a line break, a CR or LF alone is escaped. A dash that begins a line is escaped too, so that
 * no text can look like the delimiter of a multipart.
 */
export function encodeQuotedPrintable(octets: Uint8Array): Buffer {
  // The worst: each octet escaped, and a soft break for every 25 of them.
  const out = Buffer.allocUnsafe(octets.length * 4 + 16);
  let length = 0;
  let column = 0;
  const put = (octet: number) => {
    out[length++] = octet;
    column++;
  };
  for (let i = 0; i < octets.length; i++) {
    const octet = octets[i] ?? 0;
    if (octet === CR && octets[i + 1] === LF) {
      out[length++] = CR;
      out[length++] = LF;
      column = 0;
      i++;
      continue;
    }
    // RFC 2045 §6.7 (3): no white space at the end of a line.
    const isLast = i + 1 === octets.length || (octets[i + 1] === CR && octets[i + 2] === LF);
    const isEscaped = mustEscape(octet, isLast) || (octet === DASH && column === 0);
    if (column + (isEscaped ? 3 : 1) > LINE_CHARS - 1) {
      put(EQUALS);
      out[length++] = CR;
      out[length++] = LF;
      column = 0;
    }
    if (isEscaped || (octet === DASH && column === 0)) {
      put(EQUALS);
      put(HEX.charCodeAt(octet >> 4));
      put(HEX.charCodeAt(octet & 15));
    } else put(octet);
  }
  return out.subarray(0, length);
}

function mustEscape(octet: number, isLastOfLine: boolean): boolean {
  if (octet === 0x20 || octet === 0x09) return isLastOfLine;
  return octet < 0x21 || octet > 0x7e || octet === EQUALS;
}
