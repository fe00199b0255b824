/**
 * The circuit breaker of one plugin: a plugin that fails again and again is not called for a while, so that mail does not wait for
 * it. Pure but for the clock it is given; its memory is fixed.
 *
 * States:
 *
 *     closed ──5 failures in a row, or ≥ 50 % of ≥ 20 calls in 60 s──► open
 *     open ──30 s──► half_open: one call goes through as a probe, all others are refused
 *     half_open ──probe good──► closed     half_open ──probe failed──► open
 *
 * Only calls that began in the state they end in count: an answer to a call from before the opening says nothing about the probe.
 */

export type CircuitState = "closed" | "half_open" | "open";

export const FAILURES_IN_A_ROW = 5;
export const MIN_CALLS = 20;
export const FAILED_SHARE = 0.5;
export const WINDOW_MS = 60_000;
export const OPEN_MS = 30_000;

/** The right to make one call; give it back with {@link Breaker.settle}, exactly once. */
export interface Pass {
  readonly generation: number;
}

/** `void`: the call says nothing about the plugin, as it never got there or was cut by somebody else. */
export type CallVerdict = "success" | "failure" | "void";

export interface CircuitChange {
  readonly from: CircuitState;
  readonly to: CircuitState;
}

export class Breaker {
  readonly #now: () => number;
  #state: CircuitState = "closed";
  /** Grows with each change of state; a pass of another generation does not count. */
  #generation = 0;
  #failuresInARow = 0;
  #window = new CallWindow();
  #openedAt = 0;
  #isProbing = false;

  /** @param now  milliseconds of a clock that never jumps */
  constructor(now: () => number) {
    this.#now = now;
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** @returns undefined: do not call */
  admit(): Pass | undefined {
    if (this.#state === "open" && this.#now() - this.#openedAt >= OPEN_MS) this.#change("half_open");
    if (this.#state === "open" || this.#isProbing) return undefined;
    this.#isProbing = this.#state === "half_open";
    return { generation: this.#generation };
  }

  /** @returns the change that the call made, if any */
  settle(pass: Pass, verdict: CallVerdict): CircuitChange | undefined {
    if (pass.generation !== this.#generation) return undefined;
    if (this.#state === "half_open") {
      this.#isProbing = false;
      if (verdict === "void") return undefined;
      return this.#change(verdict === "success" ? "closed" : "open");
    }
    if (verdict === "void") return undefined;
    this.#failuresInARow = verdict === "success" ? 0 : this.#failuresInARow + 1;
    this.#window.add(this.#now(), verdict === "failure");
    return this.#isTooMuch() ? this.#change("open") : undefined;
  }

  #isTooMuch(): boolean {
    if (this.#failuresInARow >= FAILURES_IN_A_ROW) return true;
    const { calls, failures } = this.#window.totals(this.#now());
    return calls >= MIN_CALLS && failures >= calls * FAILED_SHARE;
  }

  #change(to: CircuitState): CircuitChange {
    const from = this.#state;
    this.#state = to;
    this.#generation++;
    this.#isProbing = false;
    this.#failuresInARow = 0;
    this.#window = new CallWindow();
    if (to === "open") this.#openedAt = this.#now();
    return { from, to };
  }
}

const BUCKET_MS = 1000;
const BUCKETS = WINDOW_MS / BUCKET_MS;

/** Calls and failures of the last minute, by the second. */
class CallWindow {
  /** Which second a bucket is about. */
  readonly #seconds = new Float64Array(BUCKETS).fill(-1);
  readonly #calls = new Uint32Array(BUCKETS);
  readonly #failures = new Uint32Array(BUCKETS);

  add(now: number, failed: boolean): void {
    const second = Math.floor(now / BUCKET_MS);
    const i = second % BUCKETS;
    if (this.#seconds[i] !== second) {
      this.#seconds[i] = second;
      this.#calls[i] = 0;
      this.#failures[i] = 0;
    }
    this.#calls[i] = (this.#calls[i] ?? 0) + 1;
    if (failed) this.#failures[i] = (this.#failures[i] ?? 0) + 1;
  }

  totals(now: number): { readonly calls: number; readonly failures: number } {
    const oldest = Math.floor(now / BUCKET_MS) - BUCKETS + 1;
    let calls = 0;
    let failures = 0;
    for (let i = 0; i < BUCKETS; i++) {
      if ((this.#seconds[i] ?? -1) < oldest) continue;
      calls += this.#calls[i] ?? 0;
      failures += this.#failures[i] ?? 0;
    }
    return { calls, failures };
  }
}
