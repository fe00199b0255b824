/**
 * The stderr of a plugin is its log: text from a program that handles hostile mail. Lines are cut, controls made visible, and
 * a flood is dropped and counted, so that it can neither fill a disk nor forge lines.
 */
import { StringDecoder } from "node:string_decoder";

/** Longest line that is handed on, in UTF-16 units. */
export const MAX_LOG_LINE = 4096;
export const MAX_LOG_LINES_PER_SECOND = 100;

export interface StderrSink {
  readonly onLog: (line: string) => void;
  readonly onLogDropped: (lines: number) => void;
}

export class StderrLines {
  readonly #sink: StderrSink;
  readonly #now: () => number;
  readonly #decoder = new StringDecoder("utf8");
  #line = "";
  /** The rest of the line is thrown away. */
  #cut = false;
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
    this.#take(this.#decoder.write(chunk));
  }

  /** The stream has ended: hand on what is left. */
  end(): void {
    this.#take(this.#decoder.end());
    if (this.#line !== "") this.#flush();
    this.#reportDropped();
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
    if (this.#cut) return;
    this.#line += part.slice(0, MAX_LOG_LINE + 1 - this.#line.length);
    if (this.#line.length <= MAX_LOG_LINE) return;
    this.#line = `${this.#line.slice(0, MAX_LOG_LINE - 1)}…`;
    this.#cut = true;
  }

  #flush(): void {
    const line = this.#line;
    this.#line = "";
    this.#cut = false;
    if (this.#now() - this.#secondBegan >= 1000) {
      this.#reportDropped();
      this.#secondBegan = this.#now();
      this.#linesInSecond = 0;
    }
    this.#linesInSecond++;
    if (this.#linesInSecond > MAX_LOG_LINES_PER_SECOND) this.#dropped++;
    else this.#sink.onLog(visible(line));
  }

  #reportDropped(): void {
    if (this.#dropped > 0) this.#sink.onLogDropped(this.#dropped);
    this.#dropped = 0;
  }
}

/** Controls, line separators and direction marks as `\u{…}`; a CR at the end is part of the line break. */
function visible(line: string): string {
  return line
    .replace(/\r$/, "")
    .replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, c =>
      c === "\t" ? " " : `\\u{${c.codePointAt(0)?.toString(16)}}`,
    );
}
