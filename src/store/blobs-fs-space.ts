/**
 * Whether there is room for another blob (`limits.min_free_disk_mb`), cheap enough to ask for every message (step 6): the file system is
 * asked once a second, and what was written since is subtracted. After a pause the first message waits for the answer, so that
 * it is not judged by a disk of hours ago. One question is under way at a time.
 */
import { diskFull, freeBytesOf } from "./blobs-fs-io.ts";

/** From this age on the file system is asked again, beside the work. */
const FRESH_MS = 1_000;
/** Beyond this age nothing is judged before the answer. */
const MAX_AGE_MS = 10_000;

/** What the tests replace. */
export interface SpaceProbe {
  readonly freeBytes: (path: string) => Promise<number>;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

const SYSTEM: SpaceProbe = { freeBytes: freeBytesOf, now: () => performance.now() };

export class FreeSpace {
  readonly #path: string;
  readonly #minFreeBytes: () => number;
  readonly #probe: SpaceProbe;
  #freeBytes = Number.POSITIVE_INFINITY;
  /** When what is known was asked, and when somebody last tried to ask. */
  #knownAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;

  /** @param minFreeBytes  must stay free; asked for each judgement */
  constructor(path: string, minFreeBytes: () => number, probe: SpaceProbe = SYSTEM) {
    this.#path = path;
    this.#minFreeBytes = minFreeBytes;
    this.#probe = probe;
  }

  /**
   * Take `bytes` from what is known to be free.
   * @returns a promise, which may reject, when what is known is too old to judge
   * @throws {MairustError} `disk_full`: less than the minimum would be left
   */
  take(bytes: number): Promise<void> | undefined {
    const now = this.#probe.now();
    if (this.#asking === undefined && now - this.#triedAt > FRESH_MS) this.#ask();
    // A failure to ask is no reason to refuse mail: a full disk still shows itself when writing.
    const answer = this.#asking?.catch(() => undefined);
    if (answer !== undefined && now - this.#knownAt > MAX_AGE_MS)
      return answer.then(() => this.#judge(bytes));
    this.#judge(bytes);
    return undefined;
  }

  /** Ask the file system now, or share the question that is under way. @returns octets free */
  async refresh(): Promise<number> {
    await (this.#asking ?? this.#ask());
    return this.#freeBytes;
  }

  #judge(bytes: number): void {
    const minFreeBytes = this.#minFreeBytes();
    if (this.#freeBytes - bytes < minFreeBytes) {
      throw diskFull(
        `Cannot take a blob: ${this.#freeBytes} octets are free on the disk, ${minFreeBytes} must stay free`,
      );
    }
    this.#freeBytes -= bytes;
  }

  #ask(): Promise<void> {
    const askedAt = this.#probe.now();
    this.#triedAt = askedAt;
    const asking = this.#probe
      .freeBytes(this.#path)
      .then(freeBytes => {
        this.#freeBytes = freeBytes;
        this.#knownAt = askedAt;
      })
      .finally(() => {
        this.#asking = undefined;
      });
    this.#asking = asking;
    return asking;
  }
}
