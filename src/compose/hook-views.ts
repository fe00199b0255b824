/** Which hooks there are, where each comes from, and what keeps it from being called. A file goes before a row of the same name. */
import { MairustError } from "../core/errors.ts";
import type { HookState, HookView, StoredHook } from "../core/ports/hook-admin.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import type { StoredSettings } from "../core/ports/plugin-settings.ts";
import { type BrokenCircuit, brokenText } from "../hooks/circuits.ts";
import { bypassText, type HookGuard } from "../hooks/guard.ts";
import { lateTimeoutOf } from "../hooks/hook-set.ts";
import { type Origin, originText } from "../platform/config/problem.ts";
import { readHook } from "../platform/config/read-hook.ts";
import { offReason } from "../plugins/discovery.ts";
import type { LoadedPlugins, PluginStatus } from "../plugins/host.ts";
import { HOOK_POINTS } from "../wire/config/hooks.ts";
import type { Config, HookConfig } from "../wire/config/schema.ts";

/** What plugins and hooks were made from, and what came of it. */
export interface HooksInUse {
  readonly config: Config;
  /** Hooks by command. */
  readonly rows: readonly StoredHook[];
  /** What was decided about plugins by command. */
  readonly records: readonly PluginRecord[];
  /** Settings of plugins by command, by id. */
  readonly stored: ReadonlyMap<string, StoredSettings>;
  readonly loaded: LoadedPlugins;
}

const read = ({ name, keys }: Pick<StoredHook, "name" | "keys">) => readHook({ ...keys, name });

/** @throws {MairustError} `config_invalid` with all problems of the hook */
export async function checkHookRow(hook: Pick<StoredHook, "name" | "keys">): Promise<void> {
  const { problems } = await read(hook);
  if (problems.length === 0) return;
  throw new MairustError("config_invalid", `Cannot use the hook: ${problems.join("; ")}`, {
    publicText: "the hook has errors",
    context: { problems },
  });
}

/**
 * The configuration with the hooks by command behind its own.
 * @throws {MairustError} `config_invalid`: a row that this version cannot use. Without it mail would pass unchecked. With all plugins
 * switched off none is used, and it can be changed or removed.
 */
export async function withHookRows(config: Config, rows: readonly StoredHook[]): Promise<Config> {
  if (rows.length === 0) return config;
  const named = new Set(config.hooks.map(({ name }) => name));
  const made = await Promise.all(
    rows.filter(({ name }) => !named.has(name)).map(async hook => ({ hook, ...(await read(hook)) })),
  );
  const unusable = made.filter(({ problems }) => problems.length > 0);
  if (unusable.length > 0 && config.plugins.enabled !== false) {
    const problems = unusable.map(
      ({ hook, problems }) => `hook "${hook.name}", made by command: ${problems.join("; ")}`,
    );
    const text = `Cannot use the hooks: ${problems.join("; ")}; with --no-plugins the service starts, and they can be changed`;
    throw new MairustError("config_invalid", text, { context: { problems } });
  }
  const usable = made.filter(({ problems }) => problems.length === 0).map(({ row }) => row);
  return { ...config, hooks: [...config.hooks, ...usable] };
}

/** By hook name. */
export type HookCounts = ReadonlyMap<string, Readonly<Record<string, number>>>;

export interface ViewParts {
  readonly inUse: HooksInUse;
  /** Of `inUse.config`. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** By outcome. */
  readonly calls: HookCounts;
  /** By field. */
  readonly diffs: HookCounts;
  /** Plugins that are not called now, because they failed too often. */
  readonly broken: readonly BrokenCircuit[];
  /** Absent: nothing is demoted or bypassed. */
  readonly guard?: Pick<HookGuard, "demotions" | "bypasses"> | undefined;
}

/** In the order in which they run, point by point; a shadowed one behind the one that goes before it. */
export async function hookViews({
  inUse,
  origins,
  calls,
  diffs,
  broken,
  guard,
}: ViewParts): Promise<readonly HookView[]> {
  const { config, rows, records, loaded } = inUse;
  const recorded = new Map(records.map(record => [record.id, record]));
  const status = new Map(loaded.host.list().map(plugin => [plugin.id, plugin]));
  const view = (row: HookConfig, rest: Pick<HookView, "origin"> & Partial<HookView>): HookView => ({
    row,
    where: undefined,
    stored: undefined,
    demotion: guard?.demotions.get(row.name),
    ...stateOf(row, { config, record: recorded.get(row.plugin), status, broken, guard }),
    notes: notesOn(row, config, recorded.get(row.plugin)),
    calls: rest.state === "shadowed" ? {} : (calls.get(row.name) ?? {}),
    diffs: rest.state === "shadowed" ? {} : (diffs.get(row.name) ?? {}),
    ...rest,
  });
  const inFiles = new Map(
    config.hooks.map((row, i) => [row.name, originText(origins.get(`hooks[${i}]`) ?? { kind: "default" })]),
  );
  const views = config.hooks.map(row => view(row, { origin: "file", where: inFiles.get(row.name) }));
  for (const stored of rows) {
    const { row, problems } = await read(stored);
    const where = inFiles.get(stored.name);
    const shadowed = { state: "shadowed", reason: `a hook of this name is set in ${where}` } as const;
    const refused = { state: "refused", reason: problems.join("; ") } as const;
    const rest = where !== undefined ? shadowed : problems.length > 0 ? refused : {};
    views.push(view(row, { origin: "database", stored, ...rest }));
  }
  const named = new Set(views.map(({ row }) => row.name));
  for (const row of loaded.hooks) if (!named.has(row.name)) views.push(view(row, { origin: "manifest" }));
  return views.sort(inOrder);
}

interface StateParts {
  readonly config: Config;
  readonly record: PluginRecord | undefined;
  readonly status: ReadonlyMap<string, PluginStatus>;
  readonly broken: readonly BrokenCircuit[];
  readonly guard: ViewParts["guard"];
}

function stateOf(
  row: HookConfig,
  { config, record, status, broken, guard }: StateParts,
): { readonly state: HookState; readonly reason: string | undefined } {
  if (!row.enabled) return { state: "disabled", reason: "enabled = false" };
  const off = offReason(row.plugin, config.plugins, record);
  if (off !== undefined) return { state: "off", reason: off };
  const plugin = status.get(row.plugin);
  if (plugin?.state === "refused") return { state: "refused", reason: plugin.reason };
  const bypass = guard?.bypasses.find(one => one.plugin === undefined || one.plugin === row.plugin);
  if (bypass !== undefined) return { state: "bypassed", reason: bypassText(bypass) };
  const circuit = broken.find(one => one.plugin === row.plugin);
  if (circuit !== undefined) return { state: "circuit_open", reason: brokenText(circuit) };
  const demotion = row.mode === "shadow" ? undefined : guard?.demotions.get(row.name);
  if (demotion !== undefined)
    return { state: "demoted", reason: `${demotion.reason} (${demotion.at.toISOString()})` };
  return { state: "active", reason: undefined };
}

function notesOn(row: HookConfig, config: Config, record: PluginRecord | undefined): readonly string[] {
  const notes: string[] = [];
  if (row.late === "apply" && lateTimeoutOf(row) === undefined)
    notes.push(
      'late = "apply" does nothing here: it takes on_timeout = "allow", a late_timeout_ms above timeout_ms, and a point before post_receive',
    );
  const byFile = config.plugin[row.plugin]?.grants ?? {};
  const grants = Object.keys(byFile).length > 0 ? byFile : (record?.approval?.terms.permissions ?? {});
  if (Object.keys(grants).length > 0) return notes;
  return [
    ...notes,
    `nothing is granted to plugin "${row.plugin}": it sees that mail comes and its size, and may change nothing; ` +
      `grants stand in a configuration file, as [plugin."${row.plugin}"] grants = { … }, or are approved by command`,
  ];
}

function inOrder(a: HookView, b: HookView): number {
  const point = (view: HookView) => HOOK_POINTS.indexOf(view.row.point);
  const name = a.row.name === b.row.name ? 0 : a.row.name < b.row.name ? -1 : 1;
  return point(a) - point(b) || a.row.priority - b.row.priority || name;
}
