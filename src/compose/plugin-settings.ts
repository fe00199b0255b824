/**
 * Settings of plugins by command on the running service. A change is made ready first (everything that can be refused is found out
 * then), made durable, and put into effect: settings are part of each call, so no process is started again for them.
 */
import { MairustError, NotFound, StaleVersion } from "../core/errors.ts";
import {
  NO_SETTINGS,
  type PluginSettings,
  type PluginSettingsAdmin,
  type PluginSettingsView,
  type SettingChange,
  type SettingView,
  type StoredSettings,
} from "../core/ports/plugin-settings.ts";
import { keyText, originText } from "../platform/config/problem.ts";
import type { PluginStatus } from "../plugins/host.ts";
import { findingText } from "../plugins/problem.ts";
import { allowedFor, declaredValues, resolveSettings } from "../plugins/settings.ts";
import type { Manifest, SettingSchema } from "../wire/manifest.ts";
import type { HooksHandle } from "./hooks.ts";
import type { Settings } from "./settings.ts";
import type { Turns } from "./turns.ts";

export interface SettingsParts {
  readonly settings: Settings;
  readonly hooks: HooksHandle;
  readonly store: PluginSettings;
  /** Shared with all that changes the hooks. */
  readonly turns: Turns;
}

type Values = Readonly<Record<string, unknown>>;

export function pluginSettingsAdmin({ settings, hooks, store, turns }: SettingsParts): PluginSettingsAdmin {
  const fileOf = (id: string): Values => settings.config.plugin[id]?.settings ?? {};
  const view = (id: string, manifest: Manifest, stored: StoredSettings): PluginSettingsView => ({
    plugin: id,
    version: stored.version,
    settings: Object.entries(manifest.settings ?? {}).map(([key, schema]) =>
      viewOf(key, schema, { stored, file: fileOf(id), where: whereOf(settings, id, key) }),
    ),
  });
  return {
    async show(id) {
      const { manifest } = find(hooks, id);
      return view(id, manifest, (await store.all()).get(id) ?? NO_SETTINGS);
    },
    change: (id, given, version, { dryRun }) =>
      turns(async () => {
        const { manifest, state } = find(hooks, id);
        const all = await store.all();
        const before = all.get(id) ?? NO_SETTINGS;
        if (before.version !== version) throw new StaleVersion("settings of plugin", id);
        refuseLocked(settings, id, given);
        const changes = changesOf(manifest, given);
        const after = store.changed(before, changes);
        const set = { ...declaredValues(manifest.settings, after.values), ...fileOf(id) };
        refuse(resolveSettings(manifest.settings, set, manifest.limits).findings.map(textOf));
        // A plugin that does not run for another reason must not keep its settings from being put right.
        const needs = new Set(state === "enabled" ? [id] : []);
        const prepared = await hooks.prepare({ stored: new Map(all).set(id, after), needs });
        if (dryRun) {
          await prepared.abort();
          return view(id, manifest, { ...after, version });
        }
        try {
          await store.put(id, changes, version);
        } catch (error) {
          await prepared.abort();
          throw error;
        }
        await prepared.commit();
        return view(id, manifest, after);
      }),
  };
}

/** @throws {NotFound} no such plugin, or its manifest cannot be read */
function find({ host }: HooksHandle, id: string): Pick<PluginStatus, "state"> & { manifest: Manifest } {
  const status = host()
    ?.list()
    .find(one => one.id === id);
  if (status?.found === undefined) throw new NotFound("plugin", id);
  return { state: status.state, manifest: status.found.manifest };
}

function viewOf(
  key: string,
  schema: SettingSchema,
  sources: { readonly stored: StoredSettings; readonly file: Values; readonly where: string | undefined },
): SettingView {
  const { stored, file, where } = sources;
  const [value, origin] = Object.hasOwn(file, key)
    ? ([file[key], "file"] as const)
    : Object.hasOwn(stored.values, key) || stored.unreadable.has(key)
      ? ([stored.values[key], "database"] as const)
      : schema.default === undefined
        ? ([undefined, "none"] as const)
        : ([schema.default, "default"] as const);
  return {
    key,
    type: schema.type,
    // A secret is never given back. Nor is what was one, until the manifest changed its mind.
    value: schema.type === "secret" || stored.secrets.has(key) ? undefined : plain(value),
    isSet: origin !== "none",
    origin,
    where: origin === "file" ? where : undefined,
    description: schema.description,
    allowed: allowedFor(schema),
    problem: origin === "database" ? stored.unreadable.get(key) : undefined,
  };
}

function plain(value: unknown): string | number | boolean | undefined {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? value
    : undefined;
}

/** Files go before the database: a change that would have no effect is refused with where it has to be made. */
function refuseLocked(settings: Settings, id: string, given: Values): void {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(settings.config.plugin[id]?.settings ?? {}, key)) continue;
    const text = `setting "${key}" is set in ${whereOf(settings, id, key) ?? "the configuration"}; change it there`;
    throw new MairustError("not_permitted", `Cannot change: ${text}`, { publicText: text });
  }
}

function whereOf({ loaded }: Settings, id: string, key: string): string | undefined {
  const table = ["plugin", id, "settings"];
  const origin = loaded.origins.get(keyText([...table, key])) ?? loaded.origins.get(keyText(table));
  return origin === undefined ? undefined : originText(origin);
}

function changesOf(manifest: Manifest, given: Values): ReadonlyMap<string, SettingChange> {
  const declared = manifest.settings ?? {};
  const changes = new Map<string, SettingChange>();
  const problems: string[] = [];
  for (const [key, value] of Object.entries(given)) {
    const schema = Object.hasOwn(declared, key) ? declared[key] : undefined;
    // What an older version declared may still be taken away.
    if (value === null) changes.set(key, { value: undefined, secret: schema?.type === "secret" });
    else if (schema === undefined)
      problems.push(
        `settings.${key}: found an unknown key, allowed: ${Object.keys(declared).join(", ") || "no settings"}`,
      );
    else if (plain(value) === undefined)
      problems.push(`settings.${key}: found another type, allowed: ${allowedFor(schema)}`);
    else changes.set(key, { value: plain(value), secret: schema.type === "secret" });
  }
  refuse(problems);
  return changes;
}

function textOf(finding: Parameters<typeof findingText>[0]): string {
  return `${finding.path.join(".")}: ${findingText(finding)}`;
}

/** @throws {MairustError} `config_invalid` unless the list is empty */
function refuse(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const text = problems.join("; ");
  throw new MairustError("config_invalid", `Cannot change the settings: ${text}`, {
    publicText: text,
    context: { problems },
  });
}
