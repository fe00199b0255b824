/**
 * A log file that is rotated by size and compressed when it is done: `x.log`, `x.log.1.gz` … Lines are written in the background;
 * writing never waits and never throws. When the disk cannot take more, or not at all, lines are dropped and reported as such.
 */
import { createStream, type RotatingFileStream } from "rotating-file-stream";

export interface RotatingLogOptions {
  /** Its folder is made where it is missing. */
  readonly path: string;
  /** The file is rotated when it has grown beyond this. Default 10 MB. */
  readonly maxBytes?: number;
  /** Files in all, the current one among them. Default 5. */
  readonly maxFiles?: number;
  /** The file cannot be opened, written or rotated; at most once per {@link RETRY_MS}. */
  readonly onError: (error: Error) => void;
  /** A line is lost; called once for each. */
  readonly onDropped: () => void;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

export interface RotatingLog {
  /** @param line  without a line break */
  write(line: string): void;
  /** Write what waits and close the file. Never rejects. */
  close(): Promise<void>;
}

const MAX_BYTES = 10 * 1024 * 1024;
const MAX_FILES = 5;
/** Most octets that wait for a slow disk. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
/** A file that failed is tried again after this long. */
export const RETRY_MS = 60_000;
/** Owner and group of the service: lines may hold parts of mail. */
const FILE_MODE = 0o640;

export function openRotatingLog(options: RotatingLogOptions): RotatingLog {
  return new RotatingFile(options);
}

class RotatingFile implements RotatingLog {
  readonly #options: RotatingLogOptions;
  readonly #now: () => number;
  #stream: RotatingFileStream | undefined;
  #retryAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(options: RotatingLogOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  write(line: string): void {
    const { onDropped } = this.#options;
    if (!this.#isClosed && this.#now() >= this.#retryAt) this.#stream ??= this.#open();
    const stream = this.#isClosed ? undefined : this.#stream;
    if (stream === undefined || stream.writableLength > MAX_BUFFERED_BYTES) onDropped();
    else
      stream.write(`${line}\n`, error => {
        if (error) onDropped();
      });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed) return;
    await new Promise<void>(resolve => {
      stream.once("close", resolve);
      stream.end();
    });
  }

  #open(): RotatingFileStream {
    const { path, maxBytes = MAX_BYTES, maxFiles = MAX_FILES } = this.#options;
    const stream = createStream(path, {
      size: `${maxBytes}B`,
      rotate: maxFiles - 1,
      compress: "gzip",
      mode: FILE_MODE,
    });
    stream.on("error", error => {
      // What waited in the stream is lost with it; a new one starts with the file as it is then.
      if (this.#stream === stream) this.#stream = undefined;
      this.#retryAt = this.#now() + RETRY_MS;
      this.#options.onError(error);
    });
    return stream;
  }
}
