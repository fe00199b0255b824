/** `/api/v1/admin/plugins/{id}/settings`. Secrets go in and never come out. */
import type { PluginSettingsView, SettingView } from "../../core/ports/plugin-settings.ts";
import { changePluginSettings, showPluginSettings } from "../../services/plugin-settings.ts";
import type { ServicePorts } from "../../services/ports.ts";
import {
  type PluginSettingsBody,
  pluginSettingsRoutes as routes,
  type SettingBody,
} from "../../wire/api/plugin-settings.ts";
import { changeBy } from "../actor.ts";
import type { App } from "../app-type.ts";
import { setVersion, versionOf } from "../if-match.ts";

const ONE = "/api/v1/admin/plugins/:id/settings";

export function pluginSettingsRoutesOf(app: App, ports: ServicePorts): void {
  app.get(ONE, { schema: routes.show }, async (request, reply) => {
    const view = await showPluginSettings(ports, request.params.id);
    setVersion(reply, view.version);
    return settingsBodyOf(view);
  });
  app.patch(ONE, { schema: routes.change }, async (request, reply) => {
    const { params, body } = request;
    const view = await changePluginSettings(ports, params.id, body, versionOf(request), changeBy(request));
    setVersion(reply, view.version);
    return settingsBodyOf(view);
  });
}

const settingsBodyOf = ({ plugin, version, settings }: PluginSettingsView): PluginSettingsBody => ({
  plugin,
  version,
  settings: settings.map(settingBodyOf),
});

const settingBodyOf = (setting: SettingView): SettingBody => ({
  key: setting.key,
  type: setting.type,
  value: setting.value ?? null,
  is_set: setting.isSet,
  origin: setting.origin,
  where: setting.where ?? null,
  description: setting.description ?? null,
  allowed: setting.allowed,
  problem: setting.problem ?? null,
});
