/**
 * Cuts the byte stream of a client into commands: finds line ends, and literals `{n}` / `{n+}` across them
 * (RFC 3501 §4.3, RFC 7888). First step of every IMAP command; pure, no socket. What it refuses is an event, never
 * an exception. It looks at a literal's announcement only, so a literal's content can hold anything, NUL included.
 */
import type { ImapLimits } from "./limits.ts";

export type FrameEvent =
  /** A whole command without its final CRLF; kept literals stand inside as `{n}CRLF` + octets. */
  | { readonly kind: "command"; readonly bytes: Buffer }
  /**
   * A command whose literal was not kept: an APPEND (there is nothing to append to), or one above the limit.
   * `bytes` ends with the literal's announcement.
   */
  | { readonly kind: "refused"; readonly bytes: Buffer; readonly reason: "append" | "too_big" }
  /** A synchronising literal is welcome: answer `+`. */
  | { readonly kind: "continue" }
  /** The line or the literal is beyond what can be skipped: the stream cannot be followed any more. */
  | { readonly kind: "overflow" };

const EMPTY = Buffer.alloc(0);
const LF = 10;
const CR = 13;
/** Longest announcement: `{4294967295+}`. */
const ANNOUNCEMENT_BYTES = 14;
const ANNOUNCEMENT = /\{(\d{1,10})(\+?)\}$/u;
const APPEND = /^[^ \r\n]{1,64} APPEND /iu;

/** What is allowed now; before and after login differ. */
export type FrameLimits = Pick<ImapLimits, "lineBytes" | "literalBytes">;

export class CommandFramer {
  #buffer: Buffer = EMPTY;
  #start = 0;
  #end = 0;
  /** Where the search for the next line end goes on. */
  #scan = 0;
  /** Start of the line that is being looked at; > #start after a literal. */
  #line = 0;
  #literals = 0;
  /** Octets still to be thrown away. */
  #skip = 0;
  #refused: { readonly bytes: Buffer; readonly reason: "append" | "too_big" } | undefined;
  #broken = false;
  readonly #discardBytes: number;

  /** @param discardBytes  largest literal that is skipped when it is not wanted */
  constructor(discardBytes: number) {
    this.#discardBytes = discardBytes;
  }

  /** Octets held. */
  get buffered(): number {
    return this.#end - this.#start;
  }

  /** Take over a chunk; the caller does not change it afterwards. */
  push(chunk: Buffer): void {
    if (this.buffered === 0) {
      this.#buffer = chunk;
      this.#start = this.#scan = this.#line = 0;
      this.#end = chunk.length;
      return;
    }
    if (this.#end + chunk.length > this.#buffer.length) this.#grow(chunk.length);
    chunk.copy(this.#buffer, this.#end);
    this.#end += chunk.length;
  }

  /** @returns the next event, or undefined when more octets are needed */
  next(limits: FrameLimits): FrameEvent | undefined {
    const { lineBytes } = limits;
    for (;;) {
      if (this.#broken) return { kind: "overflow" };
      if (this.#skip > 0 && !this.#discard()) return undefined;
      if (this.#scan > this.#end) return undefined;
      const lf = this.#findLineEnd();
      if (lf === undefined) {
        if (this.#textBytes(this.#end) > lineBytes) return this.#overflow();
        return undefined;
      }
      if (this.#textBytes(lf) > lineBytes) return this.#overflow();
      const textEnd = lf > this.#line && this.#buffer[lf - 1] === CR ? lf - 1 : lf;
      const announced = this.#announced(textEnd);
      const event =
        announced === undefined
          ? this.#complete(textEnd, lf)
          : this.#literal(announced, limits.literalBytes, textEnd, lf);
      if (event !== undefined) return event;
    }
  }

  /**
   * One line as it is, for SASL answers and `DONE`.
   * @returns the line without its end, undefined when it is not there yet, or "overflow"
   */
  nextLine(lineBytes: number): Buffer | "overflow" | undefined {
    if (this.#broken) return "overflow";
    const lf = this.#findLineEnd();
    if (this.#textBytes(lf ?? this.#end) > lineBytes) {
      this.#overflow();
      return "overflow";
    }
    if (lf === undefined) return undefined;
    const textEnd = lf > this.#line && this.#buffer[lf - 1] === CR ? lf - 1 : lf;
    const bytes = this.#buffer.subarray(this.#start, textEnd);
    this.#consume(lf + 1);
    return bytes;
  }

  /** Octets of the command up to `at` that are no literal: many short lines count like one long one. */
  #textBytes(at: number): number {
    return at - this.#start - this.#literals;
  }

  #findLineEnd(): number | undefined {
    const lf = this.#buffer.subarray(0, this.#end).indexOf(LF, this.#scan);
    if (lf >= 0) return lf;
    this.#scan = this.#end;
    return undefined;
  }

  #announced(textEnd: number): { size: number; synchronising: boolean } | undefined {
    if (this.#buffer[textEnd - 1] !== 0x7d || textEnd <= this.#line) return undefined;
    const tail = this.#buffer.toString("latin1", Math.max(this.#line, textEnd - ANNOUNCEMENT_BYTES), textEnd);
    const match = ANNOUNCEMENT.exec(tail);
    return match === null ? undefined : { size: Number(match[1]), synchronising: match[2] === "" };
  }

  #complete(textEnd: number, lf: number): FrameEvent | undefined {
    const refused = this.#refused;
    const bytes = this.#buffer.subarray(this.#start, textEnd);
    this.#consume(lf + 1);
    return refused === undefined ? { kind: "command", bytes } : { kind: "refused", ...refused };
  }

  #literal(
    announced: { size: number; synchronising: boolean },
    literalBytes: number,
    textEnd: number,
    lf: number,
  ): FrameEvent | undefined {
    const { size, synchronising } = announced;
    const reason = this.#refusal(size, literalBytes, textEnd);
    if (reason === undefined) {
      this.#literals += size;
      this.#line = this.#scan = lf + 1 + size;
      return synchronising ? { kind: "continue" } : undefined;
    }
    const refused = this.#refused ?? { bytes: this.#buffer.subarray(this.#start, textEnd), reason };
    this.#consume(lf + 1);
    // RFC 7888 §4: a server that does not want a synchronising literal answers NO or BAD in place of "+".
    if (synchronising) return { kind: "refused", ...refused };
    if (size > this.#discardBytes) return this.#overflow();
    this.#refused = refused;
    this.#skip = size;
    return undefined;
  }

  #refusal(size: number, literalBytes: number, textEnd: number): "append" | "too_big" | undefined {
    if (this.#refused !== undefined) return this.#refused.reason;
    if (APPEND.test(this.#buffer.toString("latin1", this.#start, Math.min(textEnd, this.#start + 80))))
      return "append";
    return this.#literals + size > literalBytes ? "too_big" : undefined;
  }

  /** @returns true when all of the unwanted literal is gone */
  #discard(): boolean {
    const dropped = Math.min(this.#skip, this.buffered);
    this.#skip -= dropped;
    this.#moveTo(this.#start + dropped);
    return this.#skip === 0;
  }

  #consume(to: number): void {
    this.#literals = 0;
    this.#refused = undefined;
    this.#moveTo(to);
  }

  #moveTo(to: number): void {
    this.#start = this.#scan = this.#line = to;
    if (this.#start < this.#end) return;
    // An idle session holds no input buffer.
    this.#buffer = EMPTY;
    this.#start = this.#end = this.#scan = this.#line = 0;
  }

  #overflow(): FrameEvent {
    this.#broken = true;
    this.#moveTo(this.#end);
    return { kind: "overflow" };
  }

  #grow(added: number): void {
    const held = this.buffered;
    const grown = Buffer.allocUnsafe(Math.max(2 * held, held + added, 1024));
    this.#buffer.copy(grown, 0, this.#start, this.#end);
    this.#scan -= this.#start;
    this.#line -= this.#start;
    this.#buffer = grown;
    this.#start = 0;
    this.#end = held;
  }
}
