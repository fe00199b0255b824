/** Which plugins are asked for, and which of them may run: in dependency order, with every reason against the others. */
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import type { StoredSettings } from "../core/ports/plugin-settings.ts";
import type { Config, HookConfig } from "../wire/config/schema.ts";
import { planDependencies } from "./dependencies.ts";
import { type FoundPlugin, offReason } from "./discovery.ts";
import { type Enablement, enablePlugin } from "./enable.ts";
import { rowsOfManifest } from "./manifest-hooks.ts";

export type PluginConfig = Pick<Config, "plugins" | "plugin" | "hooks">;
export type Records = ReadonlyMap<string, PluginRecord>;
/** Settings by command of one plugin; those of a file go before them. */
export type SettingsOf = (id: string) => StoredSettings;

export interface Wanted {
  readonly plugin: FoundPlugin | undefined;
  readonly rows: readonly HookConfig[];
  /** The rows are the manifest's: nobody set any. */
  readonly byManifest: boolean;
}

export interface Checked {
  readonly plugin: FoundPlugin | undefined;
  readonly enablement: Enablement | undefined;
}

/** Named by a hook that is on, granted something by a file, or enabled by command. Switched off ones are not, whatever names them. */
export function askedPlugins(config: PluginConfig, records: Records): ReadonlySet<string> {
  const granted = Object.entries(config.plugin).filter(([, entry]) => Object.keys(entry.grants).length > 0);
  const named = config.hooks.filter(row => row.enabled).map(row => row.plugin);
  const enabled = [...records.values()].filter(({ state }) => state === "enabled" || state === "failed");
  const all = new Set([...named, ...granted.map(([id]) => id), ...enabled.map(({ id }) => id)]);
  return new Set([...all].filter(id => offReason(id, config.plugins, records.get(id)) === undefined));
}

export function wantedPlugins(
  config: PluginConfig,
  asked: ReadonlySet<string>,
  found: ReadonlyMap<string, FoundPlugin>,
): ReadonlyMap<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  for (const id of asked) {
    const plugin = found.get(id);
    const rows = config.hooks.filter(row => row.plugin === id);
    const byManifest = rows.length === 0 && plugin !== undefined;
    wanted.set(id, { plugin, rows: byManifest ? rowsOfManifest(plugin.manifest) : rows, byManifest });
  }
  return wanted;
}

export interface CheckOptions {
  readonly config: PluginConfig;
  readonly hostVersion: string;
  readonly records: Records;
  readonly settingsOf: SettingsOf;
}

/** In dependency order, those that cannot run last. */
export function checkPlugins(
  wanted: ReadonlyMap<string, Wanted>,
  { config, hostVersion, records, settingsOf }: CheckOptions,
): ReadonlyMap<string, Checked> {
  const checked = new Map<string, Checked>();
  for (const [id, { plugin, rows }] of wanted) {
    const settings = settingsOf(id);
    const context = { plugins: config.plugins, entry: config.plugin[id], hooks: rows, hostVersion };
    const more = { record: records.get(id), settings };
    checked.set(id, { plugin, enablement: plugin && enablePlugin(plugin, { ...context, ...more }) });
  }
  const runnable = [...checked].filter(([, { enablement }]) => enablement?.refusals.length === 0);
  const plan = planDependencies(
    new Map(runnable.flatMap(([id, { plugin }]) => (plugin ? [[id, plugin.manifest] as const] : []))),
  );
  for (const [id, text] of plan.refused) {
    const entry = checked.get(id);
    if (entry?.enablement === undefined) continue;
    const refusals = [{ code: "plugin_dependency", text } as const];
    checked.set(id, { ...entry, enablement: { ...entry.enablement, refusals } });
  }
  const rank = (id: string) => (plan.order.includes(id) ? plan.order.indexOf(id) : plan.order.length);
  return new Map([...checked].sort(([a], [b]) => rank(a) - rank(b)));
}
