/**
 * Where the embedded PostgreSQL writes: one file that stays small (no message passes here). A file and not a pipe, so that a server
 * that outlived its service can still write.
 */
import { closeSync, copyFileSync, fstatSync, ftruncateSync, openSync, readSync } from "node:fs";
import { every } from "../platform/deadline.ts";

/** Beyond this the file's content goes to `<file>.1` and it begins anew. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;
const CHECK_MS = 60_000;
/** How much of the end an error quotes. */
const TAIL_BYTES = 2_048;

export class ServerLog {
  readonly #path: string;
  #fd: number | undefined;
  #stopCheck: (() => void) | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** @returns the descriptor for the server's output; this object keeps owning it */
  open(): number {
    if (this.#fd === undefined) {
      // Appending: a write always goes to the end, also after the file was cut.
      this.#fd = openSync(this.#path, "a+", 0o600);
      this.#stopCheck = every(CHECK_MS, () => this.#limit());
    }
    this.#limit();
    return this.#fd;
  }

  /** The last lines, or "" when there are none. */
  tail(): string {
    if (this.#fd === undefined) return "";
    const { size } = fstatSync(this.#fd);
    const buffer = Buffer.alloc(Math.min(size, TAIL_BYTES));
    readSync(this.#fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString("utf8").trim();
  }

  close(): void {
    this.#stopCheck?.();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #limit(): void {
    if (this.#fd === undefined || fstatSync(this.#fd).size <= MAX_LOG_BYTES) return;
    copyFileSync(this.#path, `${this.#path}.1`);
    ftruncateSync(this.#fd, 0);
  }
}
