/** Use cases on settings of plugins: show, change. */
import type { ChangeOptions } from "../core/admin-ports.ts";
import type { PluginSettingsView } from "../core/ports/plugin-settings.ts";
import { type Actor, audited } from "./audit.ts";
import type { ServicePorts } from "./ports.ts";

/** @throws {MairustError} `not_found` */
export function showPluginSettings(ports: ServicePorts, plugin: string): Promise<PluginSettingsView> {
  return ports.pluginSettings.show(plugin);
}

/** Recorded without any value: which of them are secrets is not known before the manifest was looked at. @throws see `change` */
export function changePluginSettings(
  ports: ServicePorts,
  plugin: string,
  changes: Readonly<Record<string, unknown>>,
  version: number,
  options: ChangeOptions & Actor,
): Promise<PluginSettingsView> {
  const named = (removed: boolean) => Object.keys(changes).filter(key => (changes[key] === null) === removed);
  const detail = { set: named(false), unset: named(true) };
  const entry = { actor: options.who, action: "plugin.settings", object: plugin, detail };
  return audited(ports, entry, options, () => ports.pluginSettings.change(plugin, changes, version, options));
}
