/**
 * Settings of plugins by command, kept in the database; `store/plugin-settings.ts` implements it. What a configuration file sets for a
 * key goes before. What a value must look like is the manifest's matter (`plugins/settings.ts`).
 */
import type { SettingValues } from "../hook-plugin.ts";

export interface StoredSettings {
  /** Secrets among them as they are: never to be shown, logged or answered with. */
  readonly values: SettingValues;
  /** Keys of `values` that are kept encrypted. */
  readonly secrets: ReadonlySet<string>;
  /** Secrets that cannot be read, and why: another key file encrypted them, or they were changed. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Rises with every change; {@link NO_SETTINGS_VERSION} where nothing was ever set. */
  readonly version: number;
}

export const NO_SETTINGS_VERSION = 1;
export const NO_SETTINGS: StoredSettings = {
  values: {},
  secrets: new Set(),
  unreadable: new Map(),
  version: NO_SETTINGS_VERSION,
};

export interface SettingChange {
  /** Undefined: take it away. */
  readonly value: string | number | boolean | undefined;
  readonly secret: boolean;
}

export interface PluginSettings {
  /** By plugin id. @throws {MairustError} `store_unavailable` */
  all(): Promise<ReadonlyMap<string, StoredSettings>>;
  /** What `put` would make of it; nothing is kept. */
  changed(before: StoredSettings, changes: ReadonlyMap<string, SettingChange>): StoredSettings;
  /**
   * @param version  that the caller saw
   * @throws {StaleVersion}, {MairustError} `store_unavailable`
   */
  put(
    pluginId: string,
    changes: ReadonlyMap<string, SettingChange>,
    version: number,
  ): Promise<StoredSettings>;
}

/** One declared setting, as somebody may see it. */
export interface SettingView {
  readonly key: string;
  readonly type: "string" | "number" | "integer" | "boolean" | "enum" | "url" | "secret";
  /** In effect; of a secret always undefined. */
  readonly value: string | number | boolean | undefined;
  /** There is a value, its own or the default. */
  readonly isSet: boolean;
  readonly origin: "file" | "database" | "default" | "none";
  /** Of one that a file sets: where. */
  readonly where: string | undefined;
  readonly description: string | undefined;
  /** For people: `a number from 0 to 1`. */
  readonly allowed: string;
  /** Why a secret that was set cannot be used. */
  readonly problem: string | undefined;
}

export interface PluginSettingsView {
  readonly plugin: string;
  readonly version: number;
  readonly settings: readonly SettingView[];
}

export interface PluginSettingsAdmin {
  /** In the order of the manifest. @throws {MairustError} `not_found` */
  show(plugin: string): Promise<PluginSettingsView>;
  /**
   * Checked as a whole, kept, and in effect from the next call of the plugin on; its processes go on.
   *
   * @param changes  null: take it away, so that the default is back
   * @param version  that the caller saw
   * @throws {MairustError} `not_found`; `config_invalid` with every problem; `not_permitted`: a file sets the key; {@link StaleVersion}
   */
  change(
    plugin: string,
    changes: Readonly<Record<string, unknown>>,
    version: number,
    options: { readonly dryRun: boolean },
  ): Promise<PluginSettingsView>;
}
