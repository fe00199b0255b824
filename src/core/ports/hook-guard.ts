/** What keeps hooks from going too far: demotions, bypasses, recorded differences, figures. */
import type { Difference } from "../hook-diff.ts";
import type { HookFigures } from "../hook-figures.ts";
import type { CappedItem, PluginBudget, PluginCaps } from "../plugin-limits.ts";
import type { HookPoint } from "./hooks.ts";

/** A hook that went back to shadow by itself, whatever its configured mode. */
export interface Demotion {
  readonly hook: string;
  readonly reason: string;
  readonly at: Date;
}

/** Hooks that are not called: mail passes, marked as unchecked. */
export interface Bypass {
  /** Undefined: of all plugins. */
  readonly plugin: string | undefined;
  /** Undefined: until somebody ends it. */
  readonly until: Date | undefined;
  readonly by: string;
  readonly at: Date;
}

/** One call in shadow that would have made a difference. */
export interface HookDiff {
  readonly hook: string;
  readonly plugin: string;
  readonly point: HookPoint;
  readonly at: Date;
  readonly callId: string;
  readonly messageId: string;
  readonly queueId: string;
  /** Of several the first that it would have been otherwise for. */
  readonly recipient: string;
  readonly differences: readonly Difference[];
}

/** Examples that are kept of each hook, the newest. */
export const MAX_DIFFS_PER_HOOK = 100;

/** `store/hook-guard.ts`. All throw {MairustError} `store_unavailable`. */
export interface GuardRecords {
  demotions(): Promise<readonly Demotion[]>;
  /** One that is there already stays. */
  demote(demotion: Demotion): Promise<void>;
  /** @returns whether there was one */
  restore(hook: string): Promise<boolean>;
  /** Those that are over are not among them. */
  bypasses(): Promise<readonly Bypass[]>;
  /** In place of the one of that plugin, or of the one for all. */
  setBypass(bypass: Bypass): Promise<void>;
  /** @param plugin  undefined: all of them. @returns how many there were */
  endBypass(plugin: string | undefined): Promise<number>;
  keepDiffs(diffs: readonly HookDiff[]): Promise<void>;
  /** Newest first. */
  diffs(hook: string, limit: number): Promise<readonly HookDiff[]>;
}

/** One day of one plugin, UTC. */
export interface PluginUsage {
  readonly plugin: string;
  /** `2026-03-01`. */
  readonly day: string;
  readonly calls: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly costUsd: number;
}

/** What a plugin used of what it may. */
export interface PluginAllowance {
  readonly plugin: string;
  readonly budget: PluginBudget | undefined;
  readonly caps: PluginCaps;
  /** In the last hour, all nodes. */
  readonly used: Readonly<Partial<Record<CappedItem, number>>>;
}

/** `compose/hook-guard.ts`: for the use cases. */
export interface GuardAdmin {
  demotion(hook: string): Demotion | undefined;
  /** Durable, in effect here at once, on other nodes when they hear of it. @returns whether there was one */
  restore(hook: string): Promise<boolean>;
  /** Of all nodes, within the last seconds. */
  figures(hook: string, windowS: number): Promise<HookFigures>;
  /** Differences by field in the last {@link DIFF_COUNT_HOURS} hours, `compared` and `differing` among them. */
  diffCounts(hook: string): Promise<Readonly<Record<string, number>>>;
  diffs(hook: string, limit: number): Promise<readonly HookDiff[]>;
  bypasses(): readonly Bypass[];
  setBypass(bypass: Bypass): Promise<void>;
  endBypass(plugin: string | undefined): Promise<number>;
  /** Newest day first. */
  usage(plugin: string | undefined, days: number): Promise<readonly PluginUsage[]>;
  /** Of the plugins that stand at hooks. */
  allowances(): readonly PluginAllowance[];
}

export const DIFF_COUNT_HOURS = 24;
