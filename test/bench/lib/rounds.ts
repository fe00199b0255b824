/** Interleaved rounds and medians: machines are noisy, so each figure is a ratio taken from neighbours in time. */
import { loadavg } from "node:os";
import { SHARE } from "./share.ts";

export interface Subject {
  readonly name: string;
  /** One measured round; higher is better. */
  readonly run: (round: number) => Promise<number>;
  /** After each round, not measured: what it left behind is not to be the next one's burden. */
  readonly settle?: () => Promise<void>;
}

export interface Measured {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
  /** One per round, in order. */
  readonly rounds: readonly number[];
  /** The rounds before those, while code is compiled and caches fill: not part of the figures above. */
  readonly warm_up: readonly number[];
}

/**
 * Run all subjects once per round, in turn.
 * @param warmUps  rounds before the measured ones, numbered below 0: a server runs for months, and its first minute is no measure of it
 */
export async function interleave(
  subjects: readonly Subject[],
  rounds: number,
  warmUps = 1,
): Promise<readonly Measured[]> {
  const values = subjects.map(() => ({ warmUp: [] as number[], measured: [] as number[] }));
  for (let round = -warmUps; round < rounds; round++) {
    for (const [i, subject] of subjects.entries()) {
      const value = await subject.run(round);
      values[i]?.[round < 0 ? "warmUp" : "measured"].push(value);
      await subject.settle?.();
    }
  }
  return subjects.map((subject, i) => {
    const { measured = [], warmUp = [] } = values[i] ?? {};
    return { name: subject.name, ...spread(measured), rounds: measured, warm_up: warmUp };
  });
}

/** Ours to the peer's: of the medians, and of each round by itself. */
export function ratioOf(
  ours: Measured | undefined,
  peer: Measured | undefined,
): { readonly ratio: number; readonly ratio_min: number; readonly ratio_max: number } {
  const each = (ours?.rounds ?? []).map((value, i) => value / (peer?.rounds[i] ?? 1));
  const { min, max } = spread(each);
  return { ratio: (ours?.median ?? 0) / (peer?.median ?? 1), ratio_min: min, ratio_max: max };
}

export function spread(values: readonly number[]): {
  readonly median: number;
  readonly min: number;
  readonly max: number;
} {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), min: sorted[0] ?? 0, max: sorted.at(-1) ?? 0 };
}

function quantile(sorted: readonly number[], q: number): number {
  const at = (sorted.length - 1) * q;
  const low = sorted[Math.floor(at)] ?? 0;
  const high = sorted[Math.ceil(at)] ?? low;
  return low + (high - low) * (at - Math.floor(at));
}

/** One JSON line per row, with the load that the machine had: on a busy one a figure is no verdict, nor is that of a part of the work. */
export function report(row: string, fields: Readonly<Record<string, unknown>>): void {
  const facts = { row, ...fields, load: loadavg(), ...(SHARE === 1 ? {} : { share: SHARE }) };
  process.stdout.write(
    `${JSON.stringify(facts, (_k, v: unknown) => (typeof v === "number" ? round3(v) : v))}\n`,
  );
}

function round3(value: number): number {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}
