/**
 * How fast a node's standing jobs go while mail comes in: storing it goes first, and they take a tenth of one core, all of them together.
 * A trickle is no load: else a message now and then would hold up what old mail still lacks for days.
 */
import { sleep } from "../platform/deadline.ts";

/** The jobs rest this many times as long as they worked, but so long at most. */
const REST_SHARE = 9;
const MAX_REST_MS = 30_000;
/** How often a job that rests looks whether mail still comes in. */
const LOOK_MS = 1_000;
/** Commits a second that are a trickle; more are load as soon as they are a burst, and until the burst's end was so long ago. */
const TRICKLE_PER_S = 1;
const BURST = 5;
const LONGEST_BURST = 10;

export class Pace {
  readonly #now: () => number;
  /** Commits lately: each adds one, a second takes a trickle away. */
  #level = 0;
  #levelAt = 0;
  #restUntil = 0;

  /** @param now  milliseconds that only rise */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Mail was stored: once for each commit here, less often for those of other nodes (`store/changes.ts`). */
  mailCame(): void {
    this.#level = Math.min(LONGEST_BURST, this.#drained() + 1);
    this.#levelAt = this.#now();
  }

  get isLoaded(): boolean {
    return this.#drained() > BURST;
  }

  /** A job worked so long. */
  worked(ms: number): void {
    if (!this.isLoaded) return;
    const now = this.#now();
    this.#restUntil = Math.min(Math.max(now, this.#restUntil) + ms * REST_SHARE, now + MAX_REST_MS);
  }

  /** How long the next batch has to wait, as it looks now. */
  get restMs(): number {
    return this.isLoaded ? Math.max(0, this.#restUntil - this.#now()) : 0;
  }

  /** Resolves when the next batch may begin: at once when no mail comes in. */
  async turn(signal: AbortSignal): Promise<void> {
    for (let { restMs } = this; restMs > 0; { restMs } = this) {
      await sleep(Math.min(restMs, LOOK_MS), signal);
    }
  }

  #drained(): number {
    return Math.max(0, this.#level - ((this.#now() - this.#levelAt) / 1_000) * TRICKLE_PER_S);
  }
}
