/**
 * When a request is sent again, with the same call id, within the deadline of the call: the plugin was not reached, or it said "not
 * now" (429, 5xx). Never after a time-out, and never when it may have been worked off and failed. Pure.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { ExchangeFailure, HttpAnswer } from "./http-exchange.ts";

export interface RetryLimits {
  /** Requests of one call, the first one included. */
  readonly tries: number;
  /** Pause before the n-th repetition, n from 1. */
  readonly backOffMs: (repetition: number) => number;
}

export const RETRY_LIMITS: RetryLimits = { tries: 4, backOffMs: repetition => 50 * 4 ** (repetition - 1) };

export type Attempt = { readonly answer: HttpAnswer } | { readonly failure: ExchangeFailure };

export type NextStep =
  | { readonly kind: "done" }
  /** @property fresh  over a new connection: the kept ones may all be stale */
  | { readonly kind: "again"; readonly pauseMs: number; readonly fresh: boolean };

/**
 * @param made         tries so far, this one included
 * @param remainingMs  of the call: a pause that does not fit is not begun
 */
export function nextStep(
  attempt: Attempt,
  made: number,
  remainingMs: number,
  limits: RetryLimits,
  now: number,
): NextStep {
  const done = { kind: "done" } as const;
  if (made >= limits.tries) return done;
  if ("failure" in attempt && attempt.failure.kind === "stale")
    return { kind: "again", pauseMs: 0, fresh: true };
  const isPassing =
    "failure" in attempt
      ? attempt.failure.kind === "unreached"
      : attempt.answer.status === 429 || attempt.answer.status >= 500;
  if (!isPassing) return done;
  const asked = "answer" in attempt ? retryAfterMs(attempt.answer.headers, now) : undefined;
  const pauseMs = Math.max(asked ?? 0, limits.backOffMs(made));
  return pauseMs < remainingMs ? { kind: "again", pauseMs, fresh: false } : done;
}

/** RFC 9110 §10.2.3: seconds or a date. @returns undefined when there is none or it cannot be read */
export function retryAfterMs(headers: IncomingHttpHeaders, now: number): number | undefined {
  const text = headers["retry-after"]?.trim() ?? "";
  if (/^\d{1,9}$/u.test(text)) return Number(text) * 1000;
  const at = /^[A-Z][a-z]{2}, /u.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
