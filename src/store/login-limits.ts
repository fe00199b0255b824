/**
 * Limits on guessing passwords: a counter that refuses (peers of the network, accounts), peers that an account knows, and a pace
 * that makes wait (peers on this host, who are refused for an account alone). State is in memory: a restart forgets it.
 */
import { MairustError } from "../core/errors.ts";

/** Failures are forgotten after this. */
const WINDOW_MS = 60_000;
/** Keys whose failures are remembered; past it the oldest is forgotten. */
const MAX_KEYS = 10_000;

export class FailureCounter {
  readonly #failures = new Map<string, { count: number; readonly since: number }>();
  readonly #max: number;
  readonly #now: () => number;

  constructor(max: number, now: () => number) {
    this.#max = max;
    this.#now = now;
  }

  /** @throws {MairustError} `too_many` when `key` failed `max` times within the window */
  refuseIfTooMany(key: string, peer: string): void {
    const entry = this.#failures.get(key);
    if (entry === undefined) return;
    if (this.#now() - entry.since > WINDOW_MS) this.#failures.delete(key);
    else if (entry.count >= this.#max) {
      throw new MairustError(
        "too_many",
        `Cannot log in from ${peer}: ${entry.count} failures within a minute`,
        {
          publicText: "too many failed logins, try later",
        },
      );
    }
  }

  count(key: string): void {
    const entry = this.#failures.get(key);
    if (entry !== undefined) {
      entry.count += 1;
      return;
    }
    if (this.#failures.size >= MAX_KEYS) {
      const [oldest] = this.#failures.keys();
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
    this.#failures.set(key, { count: 1, since: this.#now() });
  }
}

/** How long a peer is known by a right login. */
const KNOWN_MS = 86_400_000;

/** From which addresses an account was logged in to of late, by its own password. */
export class KnownPeers {
  readonly #until = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  has(peer: string, user: string): boolean {
    return (this.#until.get(JSON.stringify([peer, user])) ?? 0) > this.#now();
  }

  add(peer: string, user: string): void {
    const key = JSON.stringify([peer, user]);
    this.#until.delete(key);
    if (this.#until.size >= MAX_KEYS) {
      const [oldest] = this.#until.keys();
      if (oldest !== undefined) this.#until.delete(oldest);
    }
    this.#until.set(key, this.#now() + KNOWN_MS);
  }
}

/** Checks per second that may fail, all together. */
const FAILURES_PER_S = 10;
const STEP_MS = 1000 / FAILURES_PER_S;
/** Failures of a quiet time that are saved up, as time: nobody waits because of one typing error. */
const BURST_MS = 1_000;
/** Longest wait before a check. So many wait at once as there are connections; who waited this long is looked at in any case. */
const MAX_WAIT_MS = 5_000;

/**
 * The wait comes before the check: an answer that only fails slowly could be abandoned, and the next guess made. Checks that pass
 * give their place back; who leaves while it waits does not, or leaving would buy the next guess.
 */
export class FailurePace {
  readonly #now: () => number;
  readonly #wait: (ms: number, gone: AbortSignal | undefined) => Promise<void>;
  /** When the next check may fail. */
  #freeAt = Number.NEGATIVE_INFINITY;

  constructor(now: () => number, wait: (ms: number, gone: AbortSignal | undefined) => Promise<void>) {
    this.#now = now;
    this.#wait = wait;
  }

  /** @returns what `passes` says. @throws the reason of `gone`, when it aborts during the wait */
  async check(passes: () => Promise<boolean>, gone?: AbortSignal): Promise<boolean> {
    const now = this.#now();
    const place = Math.min(Math.max(this.#freeAt, now - BURST_MS), now + MAX_WAIT_MS);
    this.#freeAt = place + STEP_MS;
    if (place > now) await this.#wait(place - now, gone);
    const passed = await passes();
    if (passed) this.#freeAt -= STEP_MS;
    return passed;
  }

  /**
   * Wait as {@link check} does, without taking a place: for checks that have turns of their own, where many that are right may run
   * at once; then those turns are what limits guesses that come together. @throws the reason of `gone`
   */
  async wait(gone?: AbortSignal): Promise<void> {
    const now = this.#now();
    const waitMs = Math.min(this.#freeAt - now, MAX_WAIT_MS);
    if (waitMs > 0) await this.#wait(waitMs, gone);
  }

  /** A check after {@link wait} failed. */
  failed(): void {
    const now = this.#now();
    this.#freeAt = Math.min(Math.max(this.#freeAt, now - BURST_MS), now + MAX_WAIT_MS) + STEP_MS;
  }
}
