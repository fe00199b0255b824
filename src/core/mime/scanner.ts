/**
 * MessageScanner: one streaming pass over a message's bytes that finds every part with exact octet offsets. It runs while
 * the message streams into its blob (message path, step 6), so that nothing is read twice before `250`.
 *
 * Nothing fails here: any bytes give a structure, in linear time and bounded memory (limits.ts). Lines end at LF, with or
 * without CR before it (header.ts says why).
 *
 * States, per octet position:
 *   header      lines of the header block of the innermost open part; its empty line → body of that part
 *   line-start  the first octets of a body line, being compared with the open boundaries; no → body, yes → delimiter
 *   body        everything else, skipped by native search for LF `--`
 *   delimiter   the rest of a delimiter line; its LF → header of the next part, or epilogue (line-start)
 *
 * Sources: RFC 2046 §5.1 (delimiters, preamble, epilogue), RFC 3501 §6.4.5 (what BODY[n] returns); Dovecot
 * lib-mail/message-parser.c for what to do where the RFC is silent, because Dovecot parses the same bytes after us.
 */
import { BoundarySet, DelimiterMatcher } from "./boundaries.ts";
import { countLf } from "./count-lf.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { HeaderReader, type HeaderRole, newFieldBudget } from "./header-reader.ts";
import { DEFAULT_MIME_LIMITS, FIELD_BYTES_MAX, HEADER_KEEP_BYTES, type MimeLimits } from "./limits.ts";
import { PartStack } from "./part-stack.ts";
import type { MessageStructure } from "./structure.ts";
import { summarize } from "./summary.ts";

const LF = 0x0a;
const CR = 0x0d;
const DASH = 0x2d;
const LF_DASH_DASH = Buffer.from("\n--", "latin1");

type State = "header" | "line-start" | "body" | "delimiter";

export class MessageScanner {
  readonly #budget = newFieldBudget();
  readonly #boundaries = new BoundarySet();
  readonly #matcher = new DelimiterMatcher();
  readonly #stack: PartStack;
  /** A header line that is spread over chunks, with its line break. */
  readonly #line = new GrowingBuffer(FIELD_BYTES_MAX + 2);
  readonly #head = new GrowingBuffer(HEADER_KEEP_BYTES);
  readonly #rootReader = new HeaderReader("root", this.#budget);
  #reader = this.#rootReader;
  #state: State = "header";
  /** Octets before the current chunk. */
  #base = 0;
  /** Start of the line that is being read (header, line-start, delimiter). */
  #lineStart = 0;
  /** Octets of the line break before `#lineStart`. */
  #lineBreak = 0;
  #previousOctet = -1;
  /** LFs before the current position, but for stretches where nobody asks for lines. */
  #lf = 0;
  #closes = false;
  #steps = 0;

  constructor(limits: MimeLimits = DEFAULT_MIME_LIMITS) {
    this.#stack = new PartStack(this.#boundaries, limits);
  }

  /** Work done so far, in loop steps: what the tests of linear growth read. */
  get steps(): number {
    return this.#steps;
  }

  /** Take the next bytes; they are not kept. Any chunking gives the same structure. */
  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (at < bytes.length) {
      this.#steps++;
      if (this.#state === "body") at = this.#body(bytes, at);
      else if (this.#state === "header") at = this.#header(bytes, at);
      else if (this.#state === "line-start") at = this.#compare(bytes, at);
      else at = this.#restOfDelimiter(bytes, at);
    }
    if (bytes.length > 0) this.#previousOctet = bytes[bytes.length - 1] ?? -1;
    this.#base += bytes.length;
  }

  /** No more bytes: the structure. Call once. */
  end(): MessageStructure {
    const size = this.#base;
    if (this.#state === "header" && this.#line.length > 0) {
      this.#headerLine(this.#line.bytes, 0, this.#line.kept, this.#line.length, 0);
    } else if (this.#state === "line-start" && this.#matcher.finish() === "delimiter") this.#delimiter();
    if (this.#state === "delimiter") this.#afterDelimiter(size, 0);
    while (this.#state === "header") this.#endHeader(size, false);
    const root = this.#stack.end(size, this.#lf);
    return summarize({
      root,
      sizeBytes: size,
      head: this.#head.bytes.subarray(0, this.#head.kept),
      reader: this.#rootReader,
      partCount: this.#stack.partCount,
      truncated: this.#stack.limited || this.#budget.exceeded,
    });
  }

  /** Octet before position `at` of the current chunk. */
  #before(bytes: Buffer, at: number): number {
    return at > 0 ? (bytes[at - 1] ?? -1) : this.#previousOctet;
  }

  #header(bytes: Buffer, at: number): number {
    const lf = bytes.indexOf(LF, at);
    const end = lf === -1 ? bytes.length : lf + 1;
    if (this.#reader === this.#rootReader) this.#head.append(bytes, at, end);
    const lineBreak = lf === -1 ? 0 : this.#before(bytes, lf) === CR ? 2 : 1;
    if (lf !== -1 && this.#line.length === 0) {
      this.#headerLine(bytes, at, end, end - at, lineBreak);
      return end;
    }
    this.#line.append(bytes, at, end);
    if (lf === -1) return end;
    const { length, kept } = this.#line;
    this.#line.clear();
    this.#headerLine(this.#line.bytes, 0, kept, length, lineBreak);
    return end;
  }

  /** One header line of `length` octets, of which `[start, end)` are at hand, line break (0, 1 or 2 octets) included. */
  #headerLine(bytes: Buffer, start: number, end: number, length: number, lineBreak: number): void {
    const next = this.#lineStart + length;
    const contentEnd = Math.min(start + FIELD_BYTES_MAX, end, start + length - lineBreak);
    const isEnd = lineBreak > 0 && length === lineBreak;
    if (bytes[start] === DASH && this.#boundaries.size > 0 && this.#isDelimiter(bytes, start, contentEnd)) {
      this.#endHeader(this.#lineStart, true);
      this.#delimiter();
      if (lineBreak === 0) return;
      this.#lf++;
      this.#afterDelimiter(next, lineBreak);
      return;
    }
    if (lineBreak > 0) this.#lf++;
    if (!isEnd) this.#reader.line(bytes, start, contentEnd, length - lineBreak > FIELD_BYTES_MAX);
    this.#lineStart = next;
    this.#lineBreak = lineBreak;
    if (isEnd) this.#endHeader(next, false);
  }

  #isDelimiter(bytes: Buffer, start: number, end: number): boolean {
    this.#matcher.reset(this.#boundaries);
    for (let i = start; i < end; i++) {
      this.#steps++;
      const verdict = this.#matcher.feed(bytes[i] ?? 0);
      if (verdict !== "more") return verdict === "delimiter";
    }
    return this.#matcher.finish() === "delimiter";
  }

  /** The header of the innermost part is over: enter its body, or the header of the message inside. */
  #endHeader(bodyStart: number, atDelimiter: boolean): void {
    this.#reader.finish();
    this.#lineStart = bodyStart;
    const plan = this.#stack.endHeader(this.#reader, bodyStart, this.#lf);
    if (plan === "message") {
      this.#startHeader("message");
      if (atDelimiter) this.#endHeader(bodyStart, true);
      return;
    }
    if (!atDelimiter) this.#startLine(bodyStart, 0);
  }

  #startHeader(role: HeaderRole): void {
    this.#reader = new HeaderReader(role, this.#budget);
    this.#state = "header";
    this.#line.clear();
  }

  #startLine(lineStart: number, lineBreak: number): void {
    this.#lineStart = lineStart;
    this.#lineBreak = lineBreak;
    this.#state = this.#boundaries.size > 0 ? "line-start" : "body";
    this.#matcher.reset(this.#boundaries);
  }

  #compare(bytes: Buffer, at: number): number {
    for (let i = at; i < bytes.length; i++) {
      this.#steps++;
      const verdict = this.#matcher.feed(bytes[i] ?? 0);
      if (verdict === "more") continue;
      if (verdict === "delimiter") this.#delimiter();
      else this.#state = "body";
      return i;
    }
    return bytes.length;
  }

  #body(bytes: Buffer, at: number): number {
    const counting = this.#stack.wantsLines;
    if (this.#boundaries.size === 0) {
      if (counting) this.#lf += countLf(bytes, at, bytes.length);
      return bytes.length;
    }
    const found = bytes.indexOf(LF_DASH_DASH, at);
    // The end of the chunk may be the beginning of LF `--`.
    const lf = found !== -1 ? found : this.#lineBreakAtEnd(bytes, at);
    if (counting) this.#lf += countLf(bytes, at, lf === -1 ? bytes.length : lf + 1);
    if (lf === -1) return bytes.length;
    this.#startLine(this.#base + lf + 1, this.#before(bytes, lf) === CR ? 2 : 1);
    return lf + 1;
  }

  #lineBreakAtEnd(bytes: Buffer, at: number): number {
    const last = bytes.length - 1;
    if (bytes[last] === LF) return last;
    return last > at && bytes[last] === DASH && bytes[last - 1] === LF ? last - 1 : -1;
  }

  /** The line at `#lineStart` is a delimiter: parts inside that multipart end before its line break. */
  #delimiter(): void {
    this.#closes = this.#matcher.closes;
    this.#stack.closeAbove(this.#matcher.owner, this.#lineStart, this.#lineBreak, this.#lf, this.#closes);
    this.#state = "delimiter";
  }

  #restOfDelimiter(bytes: Buffer, at: number): number {
    const lf = bytes.indexOf(LF, at);
    if (lf === -1) return bytes.length;
    this.#lf++;
    this.#afterDelimiter(this.#base + lf + 1, this.#before(bytes, lf) === CR ? 2 : 1);
    return lf + 1;
  }

  #afterDelimiter(next: number, lineBreak: number): void {
    if (this.#closes) {
      this.#startLine(next, lineBreak);
      return;
    }
    this.#lineStart = next;
    this.#lineBreak = lineBreak;
    if (this.#stack.openChild(next, this.#lf)) this.#startHeader("part");
    else this.#startLine(next, lineBreak);
  }
}
