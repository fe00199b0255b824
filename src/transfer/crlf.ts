/**
 * Line ends as an IMAP client sees them. Maildir files have LF; Dovecot gives each LF without a CR before it a CR, and leaves every
 * other byte alone (a lone CR, NUL, a missing last line end). What a client has cached, and what signatures were made over, has CRLF.
 * Pure. Source: Dovecot 2.3 istream-crlf.c.
 */

const LF = 0x0a;
const CR = 0x0d;

/** Converts chunk by chunk. */
export class CrlfConverter {
  #endedInCr = false;

  /** @returns the chunk itself when nothing is to be added */
  convert(chunk: Buffer): Buffer {
    const lone = this.#loneLfs(chunk);
    if (chunk.length > 0) this.#endedInCr = chunk[chunk.length - 1] === CR;
    if (lone.length === 0) return chunk;
    const out = Buffer.allocUnsafe(chunk.length + lone.length);
    let from = 0;
    let to = 0;
    for (const at of lone) {
      to += chunk.copy(out, to, from, at);
      out[to++] = CR;
      from = at;
    }
    chunk.copy(out, to, from);
    return out;
  }

  #loneLfs(chunk: Buffer): readonly number[] {
    const found: number[] = [];
    for (let at = chunk.indexOf(LF); at >= 0; at = chunk.indexOf(LF, at + 1)) {
      const afterCr = at === 0 ? this.#endedInCr : chunk[at - 1] === CR;
      if (!afterCr) found.push(at);
    }
    return found;
  }
}
