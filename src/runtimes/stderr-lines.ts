/**
 * The stderr of a plugin is its log: text from a program that handles hostile mail. Lines are cut, controls made visible, and
 * a flood is dropped and counted, so that it can neither fill a disk nor forge lines. Nor can it take the service's time: what is
 * dropped is only counted, and what is too much even for that stays in the pipe, so that the plugin waits, and not mail.
 */
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { countLf } from "../core/mime/count-lf.ts";
import { sleep } from "../platform/deadline.ts";

/** Longest line that is handed on, in UTF-16 units. */
export const MAX_LOG_LINE = 4096;
export const MAX_LOG_LINES_PER_SECOND = 100;
/** What is read of one process in a second. Twenty times what is kept of the longest lines. */
export const MAX_LOG_BYTES_PER_SECOND = 8_388_608;

const LF = 0x0a;
const SECOND_MS = 1000;

export interface StderrSink {
  readonly onLog: (line: string) => void;
  readonly onLogDropped: (lines: number) => void;
}

export class StderrLines {
  readonly #sink: StderrSink;
  readonly #now: () => number;
  #decoder = new StringDecoder("utf8");
  #line = "";
  /** The rest of the line is thrown away. */
  #cut = false;
  /** The line began in a flood, and goes with it. */
  #isLost = false;
  #secondBegan: number;
  #linesInSecond = 0;
  #dropped = 0;

  /** @param now  milliseconds, monotonic */
  constructor(sink: StderrSink, now: () => number = () => performance.now()) {
    this.#sink = sink;
    this.#now = now;
    this.#secondBegan = now();
  }

  push(chunk: Buffer): void {
    if (this.#isFlood()) this.#drop(chunk);
    else this.#take(this.#decoder.write(chunk));
  }

  /** The stream has ended: hand on what is left. */
  end(): void {
    this.#take(this.#decoder.end());
    if (this.#line !== "" || this.#isLost) this.#flush();
    this.#reportDropped();
  }

  /** Whatever comes now is dropped. */
  #isFlood(): boolean {
    return this.#linesInSecond >= MAX_LOG_LINES_PER_SECOND && this.#now() - this.#secondBegan < SECOND_MS;
  }

  /** Counted and not looked at: this must cost next to nothing. */
  #drop(chunk: Buffer): void {
    const lines = countLf(chunk, 0, chunk.length);
    this.#linesInSecond += lines;
    this.#dropped += lines;
    this.#isLost = chunk[chunk.length - 1] !== LF;
    this.#line = "";
    this.#cut = false;
    this.#decoder = new StringDecoder("utf8");
  }

  #take(text: string): void {
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      this.#append(text.slice(start, end));
      this.#flush();
      start = end + 1;
    }
    this.#append(text.slice(start));
  }

  #append(part: string): void {
    if (this.#cut || this.#isLost) return;
    this.#line += part.slice(0, MAX_LOG_LINE + 1 - this.#line.length);
    if (this.#line.length <= MAX_LOG_LINE) return;
    this.#line = `${this.#line.slice(0, MAX_LOG_LINE - 1)}…`;
    this.#cut = true;
  }

  #flush(): void {
    const line = this.#line;
    const isLost = this.#isLost;
    this.#line = "";
    this.#cut = false;
    this.#isLost = false;
    if (this.#now() - this.#secondBegan >= SECOND_MS) {
      this.#reportDropped();
      this.#secondBegan = this.#now();
      this.#linesInSecond = 0;
    }
    this.#linesInSecond++;
    if (isLost || this.#linesInSecond > MAX_LOG_LINES_PER_SECOND) this.#dropped++;
    else this.#sink.onLog(visible(line));
  }

  #reportDropped(): void {
    if (this.#dropped > 0) this.#sink.onLogDropped(this.#dropped);
    this.#dropped = 0;
  }
}

/** Hand a process's stderr on, not faster than {@link MAX_LOG_BYTES_PER_SECOND}. */
export function readStderr(stream: Readable | null, lines: StderrLines): void {
  let secondBegan = performance.now();
  let bytes = 0;
  stream?.on("data", (chunk: Buffer) => {
    lines.push(chunk);
    const now = performance.now();
    if (now - secondBegan >= SECOND_MS) {
      secondBegan = now;
      bytes = 0;
    }
    bytes += chunk.length;
    if (bytes < MAX_LOG_BYTES_PER_SECOND) return;
    stream.pause();
    // Of a stream that was destroyed meanwhile nothing comes any more.
    void sleep(SECOND_MS - (now - secondBegan), undefined, false).then(() => stream.resume());
  });
}

/** Controls, line separators and direction marks as `\u{…}`; a CR at the end is part of the line break. */
function visible(line: string): string {
  return line
    .replace(/\r$/, "")
    .replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, c =>
      c === "\t" ? " " : `\\u{${c.codePointAt(0)?.toString(16)}}`,
    );
}
