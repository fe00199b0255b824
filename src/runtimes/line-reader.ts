/** Cuts a stream of octets into lines, keeping at most one line of bounded length. Shared by runtimes that speak JSON lines. */
import { PluginError } from "../core/errors.ts";

const LF = 0x0a;
const CR = 0x0d;

export class LineReader {
  readonly #maxBytes: number;
  readonly #onLine: (line: Uint8Array) => void;
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  /** @param maxBytes  of one line, without its line break */
  constructor(maxBytes: number, onLine: (line: Uint8Array) => void) {
    this.#maxBytes = maxBytes;
    this.#onLine = onLine;
  }

  /** Octets of a line that has not ended yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @throws {PluginError} `plugin_failed`: a line is too long */
  push(chunk: Uint8Array): void {
    let start = 0;
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      this.#hold(chunk.subarray(start, end));
      const line = withoutCr(this.#held.length === 1 ? (this.#held[0] ?? chunk) : Buffer.concat(this.#held));
      this.#held = [];
      this.#heldBytes = 0;
      start = end + 1;
      this.#onLine(line);
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start));
  }

  #hold(part: Uint8Array): void {
    this.#heldBytes += part.length;
    if (this.#heldBytes > this.#maxBytes) {
      throw new PluginError(
        "plugin_failed",
        `Cannot read a line of the plugin: longer than ${this.#maxBytes} bytes`,
      );
    }
    this.#held.push(part);
  }
}

function withoutCr(line: Uint8Array): Uint8Array {
  return line.at(-1) === CR ? line.subarray(0, -1) : line;
}
