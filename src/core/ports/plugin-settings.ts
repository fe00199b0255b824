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
  /** All of a plugin's, for an uninstall with `--purge`. */
  purge(pluginId: string): Promise<void>;
}
