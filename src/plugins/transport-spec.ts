/** What a manifest and the administrator say about how a plugin is called, in the words of the runtimes. */
import { dirname, join } from "node:path";
import type { TransportSpec } from "../core/hook-plugin.ts";
import { DEFAULT_CPU_MS, DEFAULT_MEMORY_MB } from "../core/plugin-terms.ts";
import type { Log } from "../core/ports/log.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import type { Confinement } from "../core/ports/sandbox.ts";
import type { Config } from "../wire/config/schema.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { FoundPlugin } from "./discovery.ts";
import { healthSpec, httpTarget } from "./endpoint.ts";
import type { PluginLogs } from "./plugin-logs.ts";

/** What of `[plugins]` is about how they run. */
export type PluginRules = Pick<Config["plugins"], "allow_unsandboxed" | "dir" | "require_limits">;

export interface TransportParts {
  readonly config: Pick<Config, "plugin"> & { readonly plugins: PluginRules };
  readonly secrets: PluginSecrets;
  readonly logs: Pick<PluginLogs, "write" | "dropped">;
  readonly onCrash?: (reason: string) => void;
}

/** @param log  of this plugin */
export function transportSpec(
  { folder, manifest }: FoundPlugin,
  { secrets, logs, config, onCrash }: TransportParts,
  log: Log,
): TransportSpec {
  const { id, version, entry } = manifest;
  const approved = config.plugin[id]?.endpoint;
  const common = {
    pluginId: id,
    version,
    health: healthSpec(entry, approved, folder),
    confinement: confinementOf(manifest, config.plugins),
    onLog: (line: string) => logs.write(id, line, manifest.logging),
    onLogDropped: (lines: number) => logs.dropped(id, lines),
    onNotice: (text: string) => log.warn("plugin_process", { text }),
    onCrash: (reason: string) => onCrash?.(reason),
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

/** Beside the folder of packages, of which each version has its own. @param dir  `plugins.dir` */
export function persistentDirOf(dir: string, id: string): string {
  return join(dirname(dir), "plugin-data", id);
}

/** What the manifest asks to be held to; where it says nothing, the defaults, and no network. */
function confinementOf({ id, limits = {} }: Manifest, plugins: PluginRules): Confinement {
  return {
    bare: plugins.allow_unsandboxed.includes(id),
    cpuMs: limits.cpu_ms ?? DEFAULT_CPU_MS,
    memoryMb: limits.memory_mb ?? DEFAULT_MEMORY_MB,
    network: { mode: limits.network ?? "none", allow: limits.network_allow ?? [] },
    persistentDir: limits.persistent_dir === true ? persistentDirOf(plugins.dir, id) : undefined,
    requireLimits: plugins.require_limits,
  };
}
