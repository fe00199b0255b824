/**
 * What plugins may cost in a day, UTC: calls, and the tokens that their answers report. Who is over is not called until the next day;
 * `over_budget` says what that means for mail (`policyOf`). Calls are counted before they are made, tokens after: the calls that are
 * under way may go beyond. Every plugin's use is counted, also without a budget.
 */
import type { HookPlugin } from "../core/hook-plugin.ts";
import type { CallResult } from "./call.ts";
import { SharedCounts } from "./shared-counts.ts";

export const DAY_MS = 86_400_000;
/** Most that one answer can report: more is a mistake, or an attempt to use up the budget of a lifetime. */
const MAX_REPORTED = 1e9;

export type UsageKind = "calls" | "input_tokens" | "output_tokens" | "cost_usd";

export interface UsageSample {
  readonly plugin: string;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costUsd: number;
}

export interface BudgetHit {
  readonly plugin: string;
  readonly text: string;
}

export class Budgets {
  readonly counts = new SharedCounts("usage");
  readonly #now: () => number;
  readonly #onHit: (hit: BudgetHit) => void;
  readonly #onUsage: (sample: UsageSample) => void;
  /** Plugin → day that somebody was told of. */
  readonly #told = new Map<string, number>();

  constructor(now: () => number, onHit: (hit: BudgetHit) => void, onUsage: (sample: UsageSample) => void) {
    this.#now = now;
    this.#onHit = onHit;
    this.#onUsage = onUsage;
  }

  /** Take one call. @returns why there is none left */
  take({ id, budget }: HookPlugin): string | undefined {
    const day = this.#day();
    const over = budget === undefined ? undefined : this.#over(id, day, budget);
    if (over === undefined) {
      this.counts.add(id, day, "calls", 1);
      return undefined;
    }
    if (this.#told.get(id) !== day) {
      this.#told.set(id, day);
      this.#onHit({ plugin: id, text: over });
    }
    return over;
  }

  /** A call that was taken, and of which nothing left. */
  giveBack(plugin: string): void {
    const day = this.#day();
    // Taken yesterday: nothing of today is to be given back.
    if (this.counts.of(plugin, day, "calls") > 0) this.counts.add(plugin, day, "calls", -1);
  }

  record(plugin: string, { answer }: CallResult): void {
    const { usage } = answer ?? {};
    if (usage === undefined) return;
    const read = (name: string) => Math.min(MAX_REPORTED, Number(usage[name] ?? 0) || 0);
    const day = this.#day();
    const put = (kind: UsageKind) => {
      const amount = read(kind);
      if (amount > 0) this.counts.add(plugin, day, kind, amount);
      return amount;
    };
    const inputTokens = put("input_tokens");
    const outputTokens = put("output_tokens");
    this.#onUsage({ plugin, inputTokens, outputTokens, costUsd: put("cost_usd") });
  }

  #over(id: string, day: number, budget: NonNullable<HookPlugin["budget"]>): string | undefined {
    const { callsPerDay, tokensPerDay } = budget;
    const calls = this.counts.of(id, day, "calls");
    if (callsPerDay !== undefined && calls >= callsPerDay)
      return `its ${callsPerDay} calls of the day are used up`;
    const tokens = this.counts.of(id, day, "input_tokens") + this.counts.of(id, day, "output_tokens");
    return tokensPerDay !== undefined && tokens >= tokensPerDay
      ? `its ${tokensPerDay} tokens of the day are used up`
      : undefined;
  }

  #day(): number {
    return Math.floor(this.#now() / DAY_MS) * DAY_MS;
  }
}
