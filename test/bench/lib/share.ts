/** `BENCH_SHARE=0.1 npm run bench …`: a tenth of the messages and of the rounds, to see that a row works. Its figures say nothing. */

/** Above 0, at most 1. */
export const SHARE = readShare(process.env.BENCH_SHARE ?? "1");

/** @returns that many, or the share of them, one at least */
export function shareOf(count: number): number {
  return Math.max(1, Math.round(count * SHARE));
}

function readShare(text: string): number {
  const share = Number(text);
  if (!(share > 0 && share <= 1)) throw new Error(`BENCH_SHARE "${text}" is not above 0 and at most 1`);
  return share;
}
