/** A small file of the kernel that is read again and again: opened once, since that is most of what reading it costs. */
import { closeSync, openSync, readSync } from "node:fs";

const MAX_BYTES = 4096;

export class OpenFile {
  readonly #buffer = Buffer.allocUnsafe(MAX_BYTES);
  #fd: number | undefined;

  constructor(path: string) {
    try {
      this.#fd = openSync(path, "r");
    } catch {
      // Not there, or not any more: it reads as nothing.
    }
  }

  /** @returns undefined: what it told of is gone */
  read(): string | undefined {
    if (this.#fd === undefined) return undefined;
    try {
      return this.#buffer.toString("latin1", 0, readSync(this.#fd, this.#buffer, 0, MAX_BYTES, 0));
    } catch {
      return undefined;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
