/**
 * The hooks of all points, checked, compiled and in order: an immutable value. A reload makes a new one; chains that run keep
 * theirs. Order is `priority` ascending, then `name` by code point.
 */

import { MairustError, messageOf } from "../core/errors.ts";
import { grantsAsWritten } from "../core/grants-written.ts";
import { compileFilter, type HookMatcher } from "../core/hook-filter.ts";
import type { HookPlugin, HookPlugins } from "../core/hook-plugin.ts";
import { comparePlaces, type FailurePolicy } from "../core/merge.ts";
import type { HookPlace, HookPoint, PointNeeds } from "../core/ports/hooks.ts";
import { HOOK_POINTS, MAX_ASYNC_TIMEOUT_MS, MAX_SYNC_TIMEOUT_MS } from "../wire/config/hooks.ts";
import type { HookConfig } from "../wire/config/schema.ts";

/** A hook as the configuration has it, or as a plugin's manifest asks for it. */
export type HookRow = HookConfig;

/** One hook, ready to run. */
export interface Hook {
  readonly name: string;
  readonly point: HookPoint;
  readonly plugin: HookPlugin;
  readonly priority: number;
  /** As configured: a demotion or a bypass is not in it. */
  readonly mode: HookRow["mode"];
  readonly canaryPercent: number;
  /** Accounts and domains, in lower case. Not empty: their mail is meant, and no share. */
  readonly canaryFor: ReadonlySet<string>;
  readonly demote: HookRow["demote"];
  /** How long mail waits for the call. */
  readonly timeoutMs: number;
  /** How long the call may go on after that (counted from its start); undefined: it ends with its time-out. */
  readonly lateTimeoutMs: number | undefined;
  readonly onTimeout: FailurePolicy;
  readonly onError: FailurePolicy;
  readonly perRecipient: boolean;
  readonly parallel: boolean;
  readonly matches: HookMatcher;
  /** What the hook needs to be shown, its filter and its plugin together. */
  readonly needs: PointNeeds;
  /** Octets that the plugin's settings take in each payload. */
  readonly settingsBytes: number;
  /** For the ledger. */
  readonly grantsWritten: Readonly<Record<string, unknown>>;
}

/** Hooks that run together; in order. */
export type HookGroup = readonly Hook[];
export type HookSet = ReadonlyMap<HookPoint, readonly HookGroup[]>;

const HOOK_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * @throws {MairustError} `config_invalid`, all problems in one text, in `context.problems` as a list: a name twice, a plugin
 * nobody knows, a pattern the engine does not take, a time-out past the cap
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
  return new Map(HOOK_POINTS.map(point => [point, groupsOf(hooks.filter(hook => hook.point === point))]));
}

function compileHook(row: HookRow, plugins: HookPlugins): Hook {
  if (!HOOK_NAME.test(row.name))
    throw invalid("the name is not made of up to 64 letters, digits, dots, dashes, underscores");
  const cap = row.point === "post_receive" ? MAX_ASYNC_TIMEOUT_MS : MAX_SYNC_TIMEOUT_MS;
  if (row.timeout_ms > cap) throw invalid(`timeout_ms is ${row.timeout_ms}, at most ${cap} at ${row.point}`);
  const plugin = plugins.find(row.plugin);
  if (plugin === undefined) throw invalid(`there is no plugin "${row.plugin}"`);
  const lateTimeoutMs = lateTimeoutOf(row);
  return {
    name: row.name,
    point: row.point,
    plugin,
    priority: row.priority,
    mode: row.mode,
    canaryPercent: row.canary_percent,
    canaryFor: new Set(row.canary_for.map(one => one.normalize("NFC").toLowerCase())),
    demote: row.demote,
    // The wall time ends a call; where a late answer counts, `late_timeout_ms` ends it.
    timeoutMs: lateTimeoutMs === undefined ? Math.min(row.timeout_ms, plugin.wallTimeMs) : row.timeout_ms,
    lateTimeoutMs,
    onTimeout: row.on_timeout,
    onError: row.on_error,
    perRecipient: row.per_recipient,
    parallel: row.parallel,
    matches: compileFilter(row.filter, row.name),
    needs: needsOf(row, plugin),
    settingsBytes: Buffer.byteLength(JSON.stringify(plugin.settings)),
    grantsWritten: grantsAsWritten(plugin.grants),
  };
}

/** Only mail that a time-out lets go can meet its answer later; and at `post_receive` nothing waits, the job tries again. */
export function lateTimeoutOf(row: HookRow): number | undefined {
  const applies = row.late === "apply" && row.on_timeout === "allow" && row.point !== "post_receive";
  return applies && row.late_timeout_ms > row.timeout_ms ? row.late_timeout_ms : undefined;
}

function needsOf(row: HookRow, { grants }: HookPlugin): PointNeeds {
  const { header, size_min_bytes: min, size_max_bytes: max } = row.filter;
  const mayAct = row.mode !== "shadow";
  const mayEdit = mayAct && row.point === "pre_send";
  const mayHold = grants.decide.has("hold") || row.on_timeout === "hold" || row.on_error === "hold";
  return {
    // The Message-ID says on which side of a canary a message is.
    headers: grants.read_headers !== false || Object.keys(header).length > 0 || row.mode === "canary",
    body: grants.read_body !== "none" || grants.read_attachments !== "none" || min > 0 || max > 0,
    hold: mayHold && mayAct && row.point !== "post_receive",
    ...(mayEdit && grants.append_text ? { appendText: true } : {}),
    ...(mayEdit && grants.add_recipients ? { addRecipients: true } : {}),
  };
}

/**
 * The groups of a chain that are behind a place. Those that run together with the hook at that place ran with it; when that hook is
 * gone, or is another now, order alone tells.
 */
export function groupsBehind(groups: readonly HookGroup[], place: HookPlace): readonly HookGroup[] {
  const at = groups.findIndex(group =>
    group.some(({ name, priority }) => name === place.name && priority === place.priority),
  );
  if (at >= 0) return groups.slice(at + 1);
  return groups
    .map(group => group.filter(hook => comparePlaces(hook, place) > 0))
    .filter(group => group.length > 0);
}

function invalid(text: string): MairustError {
  return new MairustError("config_invalid", text);
}

/** Parallel hooks of one priority form one group, at the place of the first of them. */
function groupsOf(hooks: readonly Hook[]): readonly HookGroup[] {
  const ordered = [...hooks].sort(comparePlaces);
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
