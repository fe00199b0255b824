/** The plugins as the API sees them: what the plugin host found, and the secrets of those that are called by HTTP. */
import { MairustError, NotFound } from "../core/errors.ts";
import type { PluginAdmin } from "../core/ports/plugin-admin.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import { isCalledByHttp } from "../plugins/endpoint.ts";
import type { PluginHost } from "../plugins/host.ts";

/** @param host  the one in use, asked at each call; undefined before it runs */
export function pluginAdmin(host: () => PluginHost | undefined, secrets: PluginSecrets): PluginAdmin {
  return {
    list: () =>
      (host()?.list() ?? []).map(({ id, name, version, state, reason }) => ({
        id,
        name,
        version,
        state,
        reason,
        destination: host()?.find(id)?.transport?.destination,
      })),
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
