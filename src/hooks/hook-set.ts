/**
 * The hooks of all points, checked, compiled and in order: an immutable value. A reload makes a new one; chains that run keep
 * theirs. Order is `priority` ascending, then `name` by code point.
 */

import { MairustError, messageOf } from "../core/errors.ts";
import { compileFilter, type HookMatcher } from "../core/hook-filter.ts";
import type { HookPlugin, HookPlugins } from "../core/hook-plugin.ts";
import { BUILT_POINTS, missingForHook } from "../core/hook-row.ts";
import type { FailurePolicy } from "../core/merge.ts";
import type { HookPoint } from "../core/ports/hooks.ts";
import { MAX_ASYNC_TIMEOUT_MS, MAX_SYNC_TIMEOUT_MS } from "../wire/config/hooks.ts";
import type { HookConfig } from "../wire/config/schema.ts";

/** A hook as the configuration has it, or as a plugin's manifest asks for it. */
export type HookRow = HookConfig;

/** One hook, ready to run. */
export interface Hook {
  readonly name: string;
  readonly point: HookPoint;
  readonly plugin: HookPlugin;
  readonly priority: number;
  readonly mode: "shadow" | "enforce";
  readonly timeoutMs: number;
  readonly onTimeout: FailurePolicy;
  readonly onError: FailurePolicy;
  readonly perRecipient: boolean;
  readonly parallel: boolean;
  readonly matches: HookMatcher;
}

/** Hooks that run together; in order. */
export type HookGroup = readonly Hook[];
export type HookSet = ReadonlyMap<HookPoint, readonly HookGroup[]>;

const HOOK_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * @throws {MairustError} `config_invalid`, all problems in one text, in `context.problems` as a list: a name twice, a plugin
 * nobody knows, a pattern the engine does not take, a time-out past the cap, or what is not built in this version
 */
export function compileHooks(rows: readonly HookRow[], plugins: HookPlugins): HookSet {
  const problems: string[] = [];
  const names = new Set<string>();
  const hooks: Hook[] = [];
  for (const row of rows) {
    if (names.has(row.name)) problems.push(`hook "${row.name}": the name is taken`);
    names.add(row.name);
    if (!row.enabled) continue;
    try {
      hooks.push(compileHook(row, plugins));
    } catch (error) {
      problems.push(`hook "${row.name}": ${messageOf(error)}`);
    }
  }
  if (problems.length > 0) {
    throw new MairustError("config_invalid", `Cannot use the hooks: ${problems.join("; ")}`, {
      context: { problems },
    });
  }
  return new Map(
    [...BUILT_POINTS].map(point => [point, groupsOf(hooks.filter(hook => hook.point === point))]),
  );
}

function compileHook(row: HookRow, plugins: HookPlugins): Hook {
  if (!HOOK_NAME.test(row.name))
    throw invalid("the name is not made of up to 64 letters, digits, dots, dashes, underscores");
  const missing = missingForHook(row);
  if (missing.length > 0) throw invalid(`${missing.join(", ")}: not built in this version`);
  const cap = row.point === "post_receive" ? MAX_ASYNC_TIMEOUT_MS : MAX_SYNC_TIMEOUT_MS;
  if (row.timeout_ms > cap) throw invalid(`timeout_ms is ${row.timeout_ms}, at most ${cap} at ${row.point}`);
  const plugin = plugins.find(row.plugin);
  if (plugin === undefined) throw invalid(`there is no plugin "${row.plugin}"`);
  return {
    name: row.name,
    point: row.point,
    plugin,
    priority: row.priority,
    mode: row.mode === "enforce" ? "enforce" : "shadow",
    timeoutMs: Math.min(row.timeout_ms, plugin.wallTimeMs),
    onTimeout: policyOf(row.on_timeout),
    onError: policyOf(row.on_error),
    perRecipient: row.per_recipient,
    parallel: row.parallel,
    matches: compileFilter(row.filter, row.name),
  };
}

/** `hold` is refused above; were it not, deferring loses nothing. */
function policyOf(policy: HookRow["on_error"]): FailurePolicy {
  return policy === "hold" ? "tempfail" : policy;
}

function invalid(text: string): MairustError {
  return new MairustError("config_invalid", text);
}

/** Parallel hooks of one priority form one group, at the place of the first of them. */
function groupsOf(hooks: readonly Hook[]): readonly HookGroup[] {
  // Names are ASCII, so that comparing UTF-16 units is comparing code points.
  const ordered = [...hooks].sort((a, b) => a.priority - b.priority || (a.name < b.name ? -1 : 1));
  const groups: Hook[][] = [];
  const together = new Map<number, Hook[]>();
  for (const hook of ordered) {
    const group = hook.parallel ? together.get(hook.priority) : undefined;
    if (group !== undefined) {
      group.push(hook);
      continue;
    }
    const started = [hook];
    groups.push(started);
    if (hook.parallel) together.set(hook.priority, started);
  }
  return groups;
}
