/** What the calls of a hook came to in a window of time, and whether that is too bad for it to go on, or to be promoted. Pure. */
import type { HookConfig } from "../wire/config/schema.ts";

export interface HookFigures {
  /** That reached the plugin. */
  readonly calls: number;
  readonly errors: number;
  /** Slower than `demote.latency_ms`. */
  readonly slow: number;
  /** In shadow, and compared with what was done. */
  readonly compared: number;
  /** Of those: the hook would have made a difference. */
  readonly differing: number;
}

export const NO_FIGURES: HookFigures = { calls: 0, errors: 0, slow: 0, compared: 0, differing: 0 };
export const FIGURES = ["calls", "errors", "slow", "compared", "differing"] as const;

/** `latency_ms` is what 95 of 100 calls keep. */
const SLOW_PERCENT = 5;

/**
 * Thresholds that the figures are over. Without `min_calls` calls nothing is: a few say nothing.
 * @param comparing  `disagreement_percent` counts too
 * @returns one text for each, with the figures
 */
export function overThresholds(
  figures: HookFigures,
  demote: HookConfig["demote"],
  comparing: boolean,
): readonly string[] {
  const { calls, errors, slow, compared, differing } = figures;
  const { errors_percent, latency_ms, disagreement_percent, min_calls, window_s } = demote;
  const within = `within ${window_s} s`;
  const over: string[] = [];
  if (calls >= min_calls) {
    if (errors_percent > 0 && percent(errors, calls) >= errors_percent)
      over.push(`${errors} of ${calls} calls failed ${within}, the threshold is ${errors_percent} %`);
    if (latency_ms > 0 && percent(slow, calls) > SLOW_PERCENT)
      over.push(`${slow} of ${calls} calls took more than ${latency_ms} ms ${within}, 5 % may`);
  }
  if (comparing && disagreement_percent > 0 && compared >= min_calls) {
    if (percent(differing, compared) >= disagreement_percent)
      over.push(
        `${differing} of ${compared} calls in shadow would have made a difference ${within}, the threshold is ${disagreement_percent} %`,
      );
  }
  return over;
}

/**
 * Why a hook is not ready for the next mode: too few calls, or thresholds it is over.
 * @returns empty: it is ready
 */
export function notReady(figures: HookFigures, demote: HookConfig["demote"]): readonly string[] {
  const { min_calls, window_s } = demote;
  const few =
    figures.calls < min_calls ? [`${figures.calls} calls within ${window_s} s, ${min_calls} are needed`] : [];
  return [...few, ...overThresholds(figures, demote, true)];
}

function percent(part: number, whole: number): number {
  return (part / whole) * 100;
}
