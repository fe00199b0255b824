/** What a manifest and the administrator say about how a plugin is called, in the words of the runtimes. */
import type { TransportSpec } from "../core/hook-plugin.ts";
import type { Log } from "../core/ports/log.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import type { Config } from "../wire/config/schema.ts";
import type { FoundPlugin } from "./discovery.ts";
import { healthSpec, httpTarget } from "./endpoint.ts";
import type { PluginLogs } from "./plugin-logs.ts";

export interface TransportParts {
  readonly config: Pick<Config, "plugin">;
  readonly secrets: PluginSecrets;
  readonly logs: Pick<PluginLogs, "write" | "dropped">;
}

/** @param log  of this plugin */
export function transportSpec(
  { folder, manifest }: FoundPlugin,
  { secrets, logs, config }: TransportParts,
  log: Log,
): TransportSpec {
  const { id, version, entry } = manifest;
  const approved = config.plugin[id]?.endpoint;
  const common = {
    pluginId: id,
    version,
    health: healthSpec(entry, approved, folder),
    onLog: (line: string) => logs.write(id, line),
    onLogDropped: (lines: number) => logs.dropped(id, lines),
    onNotice: (text: string) => log.warn("plugin_process", { text }),
  };
  const target = httpTarget(entry, approved);
  if (target !== undefined) {
    const onStagedProved = () => secrets.activate(id);
    const contract = entry.protocol === "mta-hooks" ? ({ contract: "mta-hooks" } as const) : {};
    return {
      ...common,
      ...target,
      ...contract,
      kind: "http",
      secrets: () => secrets.current(id),
      onStagedProved,
    };
  }
  const { mode = "worker", command = [], workers = 1 } = entry;
  return { ...common, kind: "script", mode, folder, command, workers };
}
