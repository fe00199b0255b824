/**
 * How far a plugin may go, beside its rights: actions in an hour (`[caps]`) and what it may cost (`[budget]`). The manifest sets them,
 * the administrator may lower them: of two numbers the lower one counts. Pure.
 */
import { CAPPED_ITEMS, type OVER_BUDGET } from "../wire/config/hooks.ts";

export type CappedItem = (typeof CAPPED_ITEMS)[number];
/** Per hour; an item that is not named has no cap. */
export type PluginCaps = Readonly<Partial<Record<CappedItem, number>>>;

export interface PluginBudget {
  /** Calls at a time. */
  readonly concurrency: number | undefined;
  /** Of a day, UTC. */
  readonly callsPerDay: number | undefined;
  /** Input and output tokens of a day, UTC. */
  readonly tokensPerDay: number | undefined;
  readonly overBudget: (typeof OVER_BUDGET)[number];
}

type CapKeys = Readonly<Partial<Record<`${CappedItem}_per_hour`, number | undefined>>>;
interface BudgetKeys {
  readonly concurrency?: number | undefined;
  readonly calls_per_day?: number | undefined;
  readonly tokens_per_day?: number | undefined;
  readonly over_budget?: PluginBudget["overBudget"] | undefined;
}

/** @param given  the manifest's, the administrator's */
export function capsOf(...given: readonly (CapKeys | undefined)[]): PluginCaps {
  return Object.fromEntries(
    CAPPED_ITEMS.flatMap(item => {
      const most = lowest(given.map(keys => keys?.[`${item}_per_hour`]));
      return most === undefined ? [] : [[item, most]];
    }),
  );
}

/**
 * @param given  the manifest's, the administrator's: whose `over_budget` stands last counts
 * @returns      undefined: none
 */
export function budgetOf(...given: readonly (BudgetKeys | undefined)[]): PluginBudget | undefined {
  const limits = {
    concurrency: lowest(given.map(keys => keys?.concurrency)),
    callsPerDay: lowest(given.map(keys => keys?.calls_per_day)),
    tokensPerDay: lowest(given.map(keys => keys?.tokens_per_day)),
  };
  if (Object.values(limits).every(limit => limit === undefined)) return undefined;
  return {
    ...limits,
    overBudget: given.findLast(keys => keys?.over_budget !== undefined)?.over_budget ?? "error",
  };
}

function lowest(numbers: readonly (number | undefined)[]): number | undefined {
  const set = numbers.filter(one => one !== undefined);
  return set.length === 0 ? undefined : Math.min(...set);
}
