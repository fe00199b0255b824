/**
 * Where the embedded PostgreSQL writes: one file that stays small (no message passes here). A file and not a pipe, so that a server
 * that outlived its service can still write.
 *
 * What fails how: only opening the file throws. A disk that is full or broken keeps the file from being shortened, read or closed; that
 * is logged once and never reaches a timer or the error that wanted to quote the log.
 */
import {
  closeSync,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs";
import { messageOf } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { every } from "../platform/deadline.ts";

/** Beyond this the file's content goes to `<file>.1` and it begins anew. */
const MAX_LOG_BYTES = 8 * 1024 * 1024;
/** Beyond this it begins anew also when there is no room for the copy. */
const HARD_LIMIT_BYTES = 2 * MAX_LOG_BYTES;
const CHECK_MS = 60_000;
/** How much of the end an error quotes. */
const TAIL_BYTES = 2_048;

export class ServerLog {
  readonly #path: string;
  readonly #log: Log;
  #fd: number | undefined;
  #stopCheck: (() => void) | undefined;
  #toldOfFailure = false;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
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

  /** The last lines, or "" when there are none or they cannot be read. Never throws. */
  tail(): string {
    if (this.#fd === undefined) return "";
    try {
      const { size } = fstatSync(this.#fd);
      const buffer = Buffer.alloc(Math.min(size, TAIL_BYTES));
      const read = readSync(this.#fd, buffer, 0, buffer.length, size - buffer.length);
      return buffer.toString("utf8", 0, read).trim();
    } catch (error) {
      this.#failed(error);
      return "";
    }
  }

  close(): void {
    this.#stopCheck?.();
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd === undefined) return;
    try {
      closeSync(fd);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Never throws: it runs in a timer. */
  #limit(): void {
    if (this.#fd === undefined) return;
    try {
      const { size } = fstatSync(this.#fd);
      if (size <= MAX_LOG_BYTES) return;
      if (this.#keepCopy() || size > HARD_LIMIT_BYTES) ftruncateSync(this.#fd, 0);
    } catch (error) {
      this.#failed(error);
    }
  }

  #keepCopy(): boolean {
    const copy = `${this.#path}.1`;
    try {
      copyFileSync(this.#path, copy);
      return true;
    } catch (error) {
      this.#failed(error);
      // Half a copy would only take the room that is missing. What is no file is not ours to remove.
      if (statSync(copy, { throwIfNoEntry: false })?.isFile() === true) rmSync(copy, { force: true });
      return false;
    }
  }

  #failed(error: unknown): void {
    if (this.#toldOfFailure) return;
    this.#toldOfFailure = true;
    this.#log.warn("log of the embedded database cannot be kept short or read", {
      file: this.#path,
      reason: messageOf(error),
    });
  }
}
