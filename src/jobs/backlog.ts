/**
 * Which messages lack what a standing job makes, without a list of them: walks the ids of messages and compares.
 *
 *   up      from the newest id that was seen: mail that comes in
 *   again   the last minutes once more: ids are given when mail arrives, not when it is stored, and clocks of nodes differ
 *   down    everything older, once after the start and then now and then: mail stored before, or by a node that died
 *
 * New mail goes first. Ids handed out count as done when the next ones are asked for; after a failure a new backlog looks at all again.
 */
import type { MessageId } from "../core/ids.ts";
import type { MessageWalk } from "../core/ports/message-walk.ts";
import { uuid7Floor } from "../platform/uuid7.ts";

export interface BacklogLimits {
  /** Ids compared in one statement. */
  readonly stretch: number;
  /** How long after its id was made a message may be stored and still be seen soon. */
  readonly overlapMs: number;
  readonly againMs: number;
  readonly downMs: number;
}

export const BACKLOG_LIMITS: BacklogLimits = {
  stretch: 5_000,
  overlapMs: 600_000,
  againMs: 15_000,
  downMs: 3_600_000,
};

interface Again {
  readonly from: string;
  at: string;
  any: boolean;
}

export class Backlog {
  readonly #store: MessageWalk;
  readonly #now: () => number;
  readonly #limits: BacklogLimits;
  /** Handed out from the front; never more than one stretch. */
  #found: readonly MessageId[] = [];
  /** The newest id that was looked at. */
  #up: string;
  #again: Again | undefined;
  #againAt: number;
  #down: { at: string; readonly top: string } | undefined;
  #downAt: number;
  /** All below has it, but for what comes later than the overlap. */
  #whole = false;

  constructor(store: MessageWalk, now: () => number, limits: Partial<BacklogLimits> = {}) {
    this.#store = store;
    this.#now = now;
    this.#limits = { ...BACKLOG_LIMITS, ...limits };
    const start = uuid7Floor(now() - this.#limits.overlapMs);
    this.#up = start;
    this.#againAt = now() + this.#limits.againMs;
    this.#down = { at: start, top: start };
    this.#downAt = now() + this.#limits.downMs;
  }

  /** @returns up to `max` ids; none: there is nothing to do now */
  async next(max: number, signal: AbortSignal): Promise<readonly MessageId[]> {
    while (this.#found.length === 0) {
      signal.throwIfAborted();
      if (!(await this.#look())) return [];
    }
    const batch = this.#found.slice(0, max);
    this.#found = this.#found.slice(max);
    return batch;
  }

  /** Look at one more stretch. @returns false when all three walks are at their end */
  async #look(): Promise<boolean> {
    const { stretch, againMs, downMs, overlapMs } = this.#limits;
    const up = await this.#store.walk("up", this.#up, stretch);
    if (up.last !== undefined) {
      this.#up = up.last;
      this.#found = up.missing;
      return true;
    }
    const now = this.#now();
    if (this.#again === undefined && now >= this.#againAt) {
      this.#againAt = now + againMs;
      const from = uuid7Floor(now - overlapMs);
      this.#again = { from, at: from, any: false };
    }
    if (this.#again !== undefined) return this.#lookAgain(this.#again);
    if (this.#down === undefined && now >= this.#downAt) {
      this.#downAt = now + downMs;
      this.#down = { at: this.#up, top: uuid7Floor(now - overlapMs) };
    }
    return this.#down !== undefined && this.#lookDown(this.#down);
  }

  async #lookAgain(again: Again): Promise<boolean> {
    const { missing, last } = await this.#store.walk("up", again.at, this.#limits.stretch);
    if (last !== undefined) {
      again.at = last;
      again.any = true;
      this.#found = missing;
      return true;
    }
    this.#again = undefined;
    // Nothing to write down every few seconds while no mail comes in.
    if (this.#whole && again.any) await this.#store.setCompleteBelow(again.from);
    return true;
  }

  async #lookDown(down: { at: string; readonly top: string }): Promise<boolean> {
    const { missing, last } = await this.#store.walk("down", down.at, this.#limits.stretch);
    if (last !== undefined) {
      down.at = last;
      this.#found = missing;
      return true;
    }
    this.#down = undefined;
    this.#whole = true;
    await this.#store.setCompleteBelow(down.top);
    return true;
  }
}
