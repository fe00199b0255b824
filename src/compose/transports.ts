/** Which runtime calls a plugin. */
import type { CreateTransport } from "../core/hook-plugin.ts";
import { createHttp } from "../runtimes/http.ts";
import { createMtaHooks } from "../runtimes/mta-hooks.ts";
import { createScriptSpawn } from "../runtimes/script-spawn.ts";
import { createScriptWorker } from "../runtimes/script-worker.ts";

/** @throws {PluginSecurityError} `plugin_security`: requests must not go to its endpoint */
export const createTransport: CreateTransport = spec => {
  if (spec.kind === "http") return spec.contract === "mta-hooks" ? createMtaHooks(spec) : createHttp(spec);
  return spec.mode === "spawn" ? createScriptSpawn(spec) : createScriptWorker(spec);
};
