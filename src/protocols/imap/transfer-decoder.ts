/**
 * Undoes base64 and quoted-printable of a part that arrives in pieces of any size, for SEARCH. Tolerant: what is no valid
 * encoding is passed over. Pure, holds a few octets. Source: RFC 2045 §6.7, §6.8.
 */
export interface TransferDecoder {
  /** Octets decoded so far from this piece. */
  add(piece: Buffer): Buffer;
}

/** @param encoding  Content-Transfer-Encoding as written; anything unknown is taken as it is */
export function transferDecoder(encoding: string): TransferDecoder {
  switch (encoding.trim().toLowerCase()) {
    case "base64":
      return new Base64Decoder();
    case "quoted-printable":
      return new QuotedPrintableDecoder();
    default:
      return { add: piece => piece };
  }
}

class Base64Decoder implements TransferDecoder {
  #carry = "";

  add(piece: Buffer): Buffer {
    const text = this.#carry + piece.toString("latin1").replace(/[^A-Za-z0-9+/]+/gu, "");
    const whole = text.length - (text.length % 4);
    this.#carry = text.slice(whole);
    // The rest of a padded ending is decoded at once: nothing follows it in a sound part.
    if (piece.includes(0x3d) && this.#carry.length > 1) {
      this.#carry = "";
      return Buffer.from(text, "base64");
    }
    return Buffer.from(text.slice(0, whole), "base64");
  }
}

class QuotedPrintableDecoder implements TransferDecoder {
  #carry = "";

  add(piece: Buffer): Buffer {
    const text = this.#carry + piece.toString("latin1");
    // `=`, `=4` and `=\r` at the end can go on in the next piece.
    const open = /=(?:[0-9A-Fa-f]|[ \t]{0,80}\r?)?$/u.exec(text);
    const end = open === null ? text.length : open.index;
    this.#carry = text.slice(end);
    const decoded = text
      .slice(0, end)
      .replace(/=(?:([0-9A-Fa-f]{2})|[ \t]*\r?\n)/gu, (_, hex?: string) =>
        hex === undefined ? "" : String.fromCharCode(Number.parseInt(hex, 16)),
      );
    return Buffer.from(decoded, "latin1");
  }
}
