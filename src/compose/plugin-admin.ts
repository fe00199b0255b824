/** The plugins as the API sees them: what the plugin host found, and the secrets of those that are called by HTTP. */
import { MairustError, NotFound } from "../core/errors.ts";
import type { PluginAdmin } from "../core/ports/plugin-admin.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import { brokenText } from "../hooks/circuits.ts";
import { isCalledByHttp } from "../plugins/endpoint.ts";
import { readPluginLog } from "../plugins/read-log.ts";
import type { HooksHandle } from "./hooks.ts";

/** @param hooks  its host is undefined before it runs */
export function pluginAdmin(
  { host, brokenCircuits }: Pick<HooksHandle, "host" | "brokenCircuits">,
  secrets: PluginSecrets,
  logDir: () => string,
): PluginAdmin {
  return {
    list() {
      const broken = new Map(brokenCircuits().map(one => [one.plugin, brokenText(one)]));
      return (host()?.list() ?? []).map(({ id, name, version, state, reason }) => ({
        id,
        name,
        version,
        state,
        reason: reason ?? broken.get(id),
        destination: host()?.find(id)?.transport?.destination,
      }));
    },
    async log(id, which) {
      const isKnown = host()
        ?.list()
        .some(one => one.id === id);
      if (isKnown !== true) throw new NotFound("plugin", id);
      return readPluginLog(logDir(), id, which);
    },
    async rotateSecret(id, graceS) {
      const plugin = host()
        ?.list()
        .find(one => one.id === id);
      if (plugin === undefined) throw new NotFound("plugin", id);
      const { entry, state } = plugin;
      if (entry === undefined || state !== "enabled") throw refused(id, "it is not enabled");
      if (!isCalledByHttp(entry)) throw refused(id, "it is not called by HTTP, so nothing is signed");
      // Without anything to probe, nobody would ever find out that the receiver has the new one.
      return secrets.rotate(id, { graceS, staged: entry.health_endpoint !== undefined });
    },
  };
}

function refused(id: string, publicText: string): MairustError {
  return new MairustError("invalid_state", `Cannot rotate the secret of plugin "${id}": ${publicText}`, {
    publicText,
  });
}
