/**
 * A message as DATA carries it (message path, step 7), for a next hop without CHUNKING. A dot is doubled at the start of each line.
 *
 * A line starts after CRLF (RFC 5321 §4.5.2), and for Dovecot 2.3 also after a bare LF: it takes LF.LF for the end of the message, and
 * what follows for commands (seen with 2.3.19). So a dot after a bare LF is doubled too, and Dovecot takes it off again. A server that
 * reads strictly would show one dot more there; by BDAT (RFC 3030) no octet is ever changed, and Dovecot offers that.
 */
const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;

export class LineDots {
  #last = LF;
  #beforeLast = CR;

  chunk(bytes: Uint8Array): Uint8Array {
    const places = this.#places(bytes);
    if (places.length === 0) return bytes;
    const out = Buffer.allocUnsafe(bytes.length + places.length);
    let [from, to] = [0, 0];
    for (const place of places) {
      out.set(bytes.subarray(from, place), to);
      to += place - from;
      out[to++] = DOT;
      from = place;
    }
    out.set(bytes.subarray(from), to);
    return out;
  }

  /** The last line gets an end when it has none. */
  end(): Uint8Array {
    return Buffer.from(this.#last === LF && this.#beforeLast === CR ? ".\r\n" : "\r\n.\r\n", "latin1");
  }

  /** Of the dots to double. */
  #places(bytes: Uint8Array): readonly number[] {
    const places: number[] = [];
    if (bytes.length === 0) return places;
    if (bytes[0] === DOT && this.#last === LF) places.push(0);
    for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1))
      if (bytes[at + 1] === DOT) places.push(at + 1);
    this.#beforeLast = bytes.length > 1 ? (bytes.at(-2) ?? 0) : this.#last;
    this.#last = bytes.at(-1) ?? 0;
    return places;
  }
}
