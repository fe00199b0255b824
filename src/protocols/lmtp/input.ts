/**
 * Splits the wire into command lines and message content, one after the other, in order. Pure: no socket, no clock.
 * Step 6 of the message path: socket → this → session.
 *
 * A command line ends with CRLF. One that ends with a bare LF, or is too long, is answered as a syntax error and is not run.
 * The next command is taken only when the one before is answered, so a transaction never overtakes itself.
 *
 * Sources: RFC 5321 §2.3.8, §4.5.3.1.4; RFC 2920 §3.2 (commands stay in order)
 */
import { DataFraming } from "./framing.ts";
import { COMMANDS_PER_TURN } from "./limits.ts";

const CR = 0x0d;
const LF = 0x0a;

export type LineFault = "too_long" | "bare_lf";

/** What the input is handed to. Each `next` must be called once. */
export interface InputHandler {
  /** One command line without CRLF; may call {@link InputSplitter.startContent} before `next`. */
  command(line: Buffer, next: () => void): void;
  faultyLine(fault: LineFault, next: () => void): void;
  /** Message bytes; a returned promise holds the input back and must not reject. */
  content(bytes: Buffer): Promise<void> | undefined;
  /** The final dot was read. */
  contentEnd(next: () => void): void;
  /** The connection is closing: nothing more is handed out. */
  closed(): boolean;
}

/**
 * States: `command` (collecting a line), `content` (framing set). `startContent` leads from the first to the second,
 * the final dot back.
 */
export class InputSplitter {
  readonly #handler: InputHandler;
  readonly #lineBytes: number;
  #framing: DataFraming | undefined;
  /** Start of a line whose end has not come yet, at most `#lineBytes` + 1. */
  #partial: Buffer | undefined;
  #skipping = false;
  #chunk: Buffer = EMPTY;
  #at = 0;
  #done: (() => void) | undefined;
  #running = false;
  #again = false;
  #inARow = 0;

  constructor(handler: InputHandler, lineBytes: number) {
    this.#handler = handler;
    this.#lineBytes = lineBytes;
  }

  /** What follows the current command line is message content. */
  startContent(): void {
    this.#framing = new DataFraming();
  }

  /**
   * Take bytes from the wire.
   * @param done  called once, when all of them are dealt with; only then push again
   */
  push(chunk: Buffer, done: () => void): void {
    this.#chunk = chunk;
    this.#at = 0;
    this.#done = done;
    this.#advance();
  }

  /** Runs steps in a loop; a handler that calls back at once does not deepen the stack. */
  readonly #advance = (): void => {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    try {
      do {
        this.#again = false;
        this.#step();
      } while (this.#again);
    } finally {
      this.#running = false;
    }
  };

  #step(): void {
    if (this.#at >= this.#chunk.length || this.#handler.closed()) {
      this.#finish();
      return;
    }
    if (this.#framing !== undefined) {
      this.#stepContent(this.#framing);
      return;
    }
    this.#inARow += 1;
    if (this.#inARow > COMMANDS_PER_TURN) {
      this.#inARow = 0;
      setImmediate(this.#advance);
      return;
    }
    this.#stepLine();
  }

  #finish(): void {
    const done = this.#done;
    this.#chunk = EMPTY;
    this.#at = 0;
    this.#done = undefined;
    this.#inARow = 0;
    done?.();
  }

  #stepContent(framing: DataFraming): void {
    const { content, end } = framing.push(this.#at === 0 ? this.#chunk : this.#chunk.subarray(this.#at));
    this.#at = end < 0 ? this.#chunk.length : this.#at + end;
    const wait = content.length > 0 ? this.#handler.content(content) : undefined;
    if (end >= 0) {
      this.#framing = undefined;
      if (wait === undefined) this.#handler.contentEnd(this.#advance);
      else void wait.then(() => this.#handler.contentEnd(this.#advance));
      return;
    }
    if (wait === undefined) this.#again = true;
    else void wait.then(this.#advance);
  }

  #stepLine(): void {
    const end = this.#chunk.indexOf(LF, this.#at);
    if (end < 0) {
      this.#keepPartial();
      this.#again = true;
      return;
    }
    let line = this.#chunk.subarray(this.#at, end);
    this.#at = end + 1;
    if (this.#partial !== undefined) {
      line = Buffer.concat([this.#partial, line]);
      this.#partial = undefined;
    }
    const tooLong = this.#skipping || line.length > this.#lineBytes + 1;
    this.#skipping = false;
    if (tooLong) this.#handler.faultyLine("too_long", this.#advance);
    else if (line[line.length - 1] !== CR) this.#handler.faultyLine("bare_lf", this.#advance);
    else this.#handler.command(line.subarray(0, -1), this.#advance);
  }

  /** Keep what may become a line; of an over-long one keep only that fact. */
  #keepPartial(): void {
    const rest = this.#chunk.subarray(this.#at);
    this.#at = this.#chunk.length;
    if (this.#skipping) return;
    const length = rest.length + (this.#partial?.length ?? 0);
    if (length > this.#lineBytes + 1) {
      this.#skipping = true;
      this.#partial = undefined;
      return;
    }
    // A copy: the view would hold the whole chunk in memory.
    this.#partial = this.#partial === undefined ? Buffer.from(rest) : Buffer.concat([this.#partial, rest]);
  }
}

const EMPTY = Buffer.alloc(0);
