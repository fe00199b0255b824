/** How long a failed job waits before its next run: doubled each time, with jitter so that jobs that failed together part. Pure. */

export interface BackOff {
  readonly firstMs: number;
  readonly maxMs: number;
}

export const JOB_BACK_OFF: BackOff = { firstMs: 5_000, maxMs: 3_600_000 };

/**
 * @param attempts  failed so far, from 1
 * @param random    0 ≤ random < 1
 * @returns         between half and the whole of the doubled time, in ms
 */
export function backOffMs(
  attempts: number,
  random: number,
  { firstMs, maxMs }: BackOff = JOB_BACK_OFF,
): number {
  const doubled = Math.min(maxMs, firstMs * 2 ** Math.min(attempts - 1, 40));
  return Math.round(doubled * (0.5 + random / 2));
}
