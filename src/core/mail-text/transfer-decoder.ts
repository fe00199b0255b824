/**
 * Undoes base64 and quoted-printable of a part that arrives in pieces of any size, for SEARCH: the same octets however they come.
 * Tolerant: what is no valid encoding is passed over. Pure, holds a few octets. Source: RFC 2045 §6.7, §6.8.
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
    const text = this.#carry + piece.toString("latin1").replace(/[^A-Za-z0-9+/=]+/gu, "");
    // Padding ends what stands before it; a sound part has nothing behind it.
    const runs = text.split(/=+/u);
    const open = runs.pop() ?? "";
    const whole = open.length - (open.length % 4);
    this.#carry = open.slice(whole);
    const ended = runs.map(run => Buffer.from(run, "base64"));
    const going = Buffer.from(open.slice(0, whole), "base64");
    return ended.length === 0 ? going : Buffer.concat([...ended, going]);
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
      .replace(/=(?:([0-9A-Fa-f]{2})|[ \t]{0,80}\r?\n)/gu, (_, hex?: string) =>
        hex === undefined ? "" : String.fromCharCode(Number.parseInt(hex, 16)),
      );
    return Buffer.from(decoded, "latin1");
  }
}
