/**
 * Whether there is room for another blob (`limits.min_free_disk_mb`), cheap enough to ask for every message (step 6): the file system is asked
 * once a second, and what was written since is subtracted.
 */
import { diskFull, freeBytesOf } from "./blobs-fs-io.ts";

const FRESH_MS = 1_000;

export class FreeSpace {
  readonly #path: string;
  readonly #minFreeBytes: number;
  #freeBytes = Number.POSITIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  constructor(path: string, minFreeBytes: number) {
    this.#path = path;
    this.#minFreeBytes = minFreeBytes;
  }

  /**
   * Take `bytes` from what is known to be free; asks the file system in the background when that is old.
   * @throws {MairustError} `disk_full`: less than the minimum would be left
   */
  take(bytes: number): void {
    // A failure to ask is no reason to refuse mail: a full disk still shows itself when writing.
    if (performance.now() - this.#askedAt > FRESH_MS) this.refresh().catch(() => undefined);
    if (this.#freeBytes - bytes < this.#minFreeBytes) {
      throw diskFull(
        `Cannot take a blob: ${this.#freeBytes} octets are free on the disk, ${this.#minFreeBytes} must stay free`,
      );
    }
    this.#freeBytes -= bytes;
  }

  /** Ask the file system now. @returns octets free */
  async refresh(): Promise<number> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    await this.#asking;
    return this.#freeBytes;
  }

  async #ask(): Promise<void> {
    this.#askedAt = performance.now();
    this.#freeBytes = await freeBytesOf(this.#path);
  }
}
