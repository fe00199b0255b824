/**
 * A point in time until which work may go on. Whatever waits takes one as its last argument;
 * `platform/deadline.ts` makes them (the core has no clock).
 */
export interface Deadline {
  /** Milliseconds left, never below 0. `Infinity` for work without an end. */
  remainingMs(): number;
  /** Aborts when the time is over, or when the work above was cancelled. */
  readonly signal: AbortSignal;
}
