/**
 * One direction of an IMAP conversation as logical lines, while the bytes pass: a command or response with literals is one line,
 * in which each literal stands as `{n}` without its octets. Bounded: a line keeps its first {@link KEPT_CHARS} characters,
 * literals are skipped by count. Source: RFC 3501 §4.3, §7.5; RFC 7888 for `{n+}`.
 */

/** Characters of a line that are kept; imapc's lists of a hundred UIDs have 700. */
export const KEPT_CHARS = 8192;

const LITERAL = /\{(\d+)(\+?)\}$/u;
const LF = 0x0a;

export class ImapLines {
  readonly #onLine: (line: string) => void;
  /** True for the client's side: octets of `{n}` follow only after the server said `+`. */
  readonly #waitsForGo: boolean;
  #line = "";
  #tail = "";
  #skip = 0;
  #promised = 0;

  constructor(onLine: (line: string) => void, waitsForGo: boolean) {
    this.#onLine = onLine;
    this.#waitsForGo = waitsForGo;
  }

  /** The server asked for the literal that the client's last line promised. */
  go(): void {
    this.#skip = this.#promised;
    this.#promised = 0;
  }

  /**
   * The server refused it, when this is its tagged answer; that of an earlier command (IDLE, whose DONE went out with this one)
   * says nothing.
   */
  answered(answer: string): void {
    const tag = answer.slice(0, answer.indexOf(" ") + 1);
    if (this.#promised > 0 && this.#line.startsWith(tag)) this.#end();
  }

  feed(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      // A promised literal that was refused: what comes is the next command.
      if (this.#promised > 0) this.#end();
      const lf = chunk.indexOf(LF, at);
      const end = lf < 0 ? chunk.length : lf + 1;
      this.#keep(chunk.toString("latin1", at, end));
      at = end;
      if (lf >= 0) this.#lineBreak();
    }
  }

  #keep(text: string): void {
    if (this.#line.length < KEPT_CHARS) this.#line += text;
    // Whether a literal follows stands at the end, which a cut line has lost.
    this.#tail = (this.#tail + text).slice(-64);
  }

  #lineBreak(): void {
    const literal = LITERAL.exec(this.#tail.trimEnd());
    this.#line = this.#line.replace(/\r?\n$/u, "");
    this.#tail = "";
    if (literal === null) {
      this.#end();
      return;
    }
    const octets = Number(literal[1]);
    if (this.#waitsForGo && literal[2] === "" && octets > 0) this.#promised = octets;
    else this.#skip = octets;
  }

  #end(): void {
    const line = this.#line;
    this.#line = "";
    this.#tail = "";
    this.#promised = 0;
    this.#onLine(line.slice(0, KEPT_CHARS));
  }
}
