/**
 * DATA framing: finds the end of a message and takes dot-stuffing out. Pure; step 6 of the message path, before the blob.
 *
 * Only CRLF "." CRLF ends DATA, and only a dot after CRLF is a stuffed one: a bare CR or LF never makes a line
 * (SMTP smuggling), and it is kept, as are NUL and 8-bit bytes. Nothing here can fail.
 *
 * Speed: a chunk without dots at line starts is searched by `indexOf` and passed on without a copy. Around each such
 * dot a window is read byte by byte, so that a message made of ".." lines costs a few nanoseconds per byte, not a call per line.
 *
 * Sources: RFC 5321 §4.1.1.4, §4.5.2, §2.3.8; https://sec-consult.com/blog/detail/smtp-smuggling-spoofing-e-mails-worldwide/
 */

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const LINE_DOT = Buffer.from("\r\n.");

/** Bytes read one by one after a dot at a line start before `indexOf` takes over again. */
const DOT_WINDOW_BYTES = 64;
/** Runs shorter than this are copied by hand: a native copy costs more than it saves. */
const SHORT_RUN_BYTES = 32;

/**
 * What the bytes so far end with. AT_DOT and AT_DOT_CR hold bytes back: they are content only if the line goes on.
 *
 *   state      '.'         CR          LF          other
 *   AT_START   AT_DOT      AFTER_CR    IN_TEXT     IN_TEXT
 *   AT_DOT     IN_TEXT     AT_DOT_CR   IN_TEXT     IN_TEXT      (the held dot is dropped)
 *   AT_DOT_CR  IN_TEXT     AFTER_CR    (end)       IN_TEXT      (dot dropped, held CR is content)
 *   AFTER_CR   IN_TEXT     AFTER_CR    AT_START    IN_TEXT
 *   IN_TEXT    IN_TEXT     AFTER_CR    IN_TEXT     IN_TEXT
 */
const AT_START = 0;
const AT_DOT = 1;
const AT_DOT_CR = 2;
const AFTER_CR = 3;
const IN_TEXT = 4;

export interface FramedChunk {
  /** Message bytes found in this chunk; a view of the chunk unless dots were taken out. */
  readonly content: Buffer;
  /** Offset in the chunk behind the final CRLF "." CRLF, or -1 while DATA goes on. */
  readonly end: number;
}

const EMPTY = Buffer.alloc(0);

/** The framing of one DATA command. After `end` was not -1 the object is used up. */
export class DataFraming {
  #state = AT_START;
  #chunk: Buffer = EMPTY;
  /** Start of the bytes of the chunk that are content and not copied yet. */
  #runStart = 0;
  /** Where the held dot stands in this chunk; -1: in an earlier one, or there is none. */
  #dotAt = -1;
  #out: Buffer | undefined;
  #outLength = 0;

  /**
   * Take the next bytes from the wire.
   * @param chunk  any size, split anywhere; not kept after the call but through `content`
   */
  push(chunk: Buffer): FramedChunk {
    this.#chunk = chunk;
    this.#runStart = 0;
    this.#dotAt = -1;
    let at = 0;
    while (at < chunk.length) {
      at = this.#readBytes(at);
      if (at < 0) return { content: this.#content(Math.max(this.#dotAt, 0)), end: ~at };
      if (at < chunk.length) at = this.#searchDot(at);
    }
    const held = this.#state === AT_DOT || this.#state === AT_DOT_CR;
    return { content: this.#content(held ? Math.max(this.#dotAt, 0) : chunk.length), end: -1 };
  }

  /** Read byte by byte until inside a line and `DOT_WINDOW_BYTES` on. Returns the offset reached, or ~offset at the end of DATA. */
  #readBytes(from: number): number {
    const chunk = this.#chunk;
    const windowEnd = from + DOT_WINDOW_BYTES;
    let state = this.#state;
    let at = from;
    for (; at < chunk.length && (state !== IN_TEXT || at < windowEnd); at += 1) {
      const byte = chunk[at];
      switch (state) {
        case AT_START:
          if (byte === DOT) {
            this.#dotAt = at;
            state = AT_DOT;
          } else state = byte === CR ? AFTER_CR : IN_TEXT;
          break;
        case AT_DOT:
          if (byte === CR) state = AT_DOT_CR;
          else {
            this.#dropDot();
            state = IN_TEXT;
          }
          break;
        case AT_DOT_CR:
          if (byte === LF) return ~(at + 1);
          this.#dropDot();
          if (at === 0) this.#emitCr(); // it came, and was held, with the chunk before
          state = byte === CR ? AFTER_CR : IN_TEXT;
          break;
        case AFTER_CR:
          state = byte === LF ? AT_START : byte === CR ? AFTER_CR : IN_TEXT;
          break;
        default:
          state = byte === CR ? AFTER_CR : IN_TEXT;
      }
    }
    this.#state = state;
    return at;
  }

  /** From inside a line, go to the next dot at a line start, or to the end of the chunk. */
  #searchDot(from: number): number {
    const chunk = this.#chunk;
    const found = chunk.indexOf(LINE_DOT, from);
    if (found >= 0) {
      this.#state = AT_START;
      return found + 2;
    }
    const last = chunk[chunk.length - 1];
    const afterCrlf = last === LF && chunk.length - 2 >= from && chunk[chunk.length - 2] === CR;
    this.#state = afterCrlf ? AT_START : last === CR ? AFTER_CR : IN_TEXT;
    return chunk.length;
  }

  /** The held dot was a stuffed one: leave it out. One of an earlier chunk was never handed on. */
  #dropDot(): void {
    if (this.#dotAt < 0) return;
    this.#copyRun(this.#dotAt);
    this.#runStart = this.#dotAt + 1;
    this.#dotAt = -1;
  }

  #copyRun(end: number): void {
    const start = this.#runStart;
    const length = end - start;
    if (length <= 0) return;
    const out = this.#buffer();
    if (length < SHORT_RUN_BYTES) {
      const chunk = this.#chunk;
      for (let i = 0; i < length; i += 1) out[this.#outLength + i] = chunk[start + i] ?? 0;
    } else {
      this.#chunk.copy(out, this.#outLength, start, end);
    }
    this.#outLength += length;
  }

  #emitCr(): void {
    this.#buffer()[this.#outLength] = CR;
    this.#outLength += 1;
  }

  #buffer(): Buffer {
    // One more than the chunk: a CR held back from the chunk before may come on top.
    this.#out ??= Buffer.allocUnsafe(this.#chunk.length + 1);
    return this.#out;
  }

  /** The content up to `end` of the chunk; forgets the chunk. */
  #content(end: number): Buffer {
    let content = this.#chunk.subarray(this.#runStart, Math.max(end, this.#runStart));
    if (this.#out !== undefined) {
      this.#copyRun(end);
      content = this.#out.subarray(0, this.#outLength);
    }
    this.#chunk = EMPTY;
    this.#out = undefined;
    this.#outLength = 0;
    return content;
  }
}
