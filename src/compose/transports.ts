/** Which runtime calls a plugin, and in what its processes are held. */
import type { CreateTransport, TransportSpec } from "../core/hook-plugin.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import { callFailure } from "../runtimes/call-failure.ts";
import { MAX_WAITING_CALLS } from "../runtimes/call-slots.ts";
import { type ConfinedListener, confinedTransport } from "../runtimes/confined-transport.ts";
import { createHttp, HTTP_OPTIONS } from "../runtimes/http.ts";
import type { ProcessSpec, StartProcess } from "../runtimes/plugin-process.ts";
import type { Sandbox } from "../runtimes/sandbox/sandbox.ts";
import { startPlain } from "../runtimes/script-child.ts";
import { createScriptSpawn } from "../runtimes/script-spawn.ts";
import { createScriptWorker, SCRIPT_WORKER_LIMITS } from "../runtimes/script-worker.ts";

/** What has a confinement runs in the sandbox, everything else as a plain child process. */
export function transportsIn(sandbox: Sandbox, listener?: ConfinedListener): CreateTransport {
  return spec =>
    spec.confinement !== undefined && hasProcesses(spec)
      ? confinedTransport(spec, sandbox, start => transportOf(spec, start), listener)
      : transportOf(spec, startPlain);
}

/**
 * Without a sandbox, for who runs plugins of his own: what must be confined starts nothing.
 * @throws {PluginSecurityError} `plugin_security`: requests must not go to its endpoint
 */
export const createTransport: CreateTransport = spec =>
  transportOf(spec, spec.confinement?.bare === false ? startNothing : startPlain);

function startNothing({ pluginId }: ProcessSpec): never {
  throw callFailure(pluginId, "there is no sandbox to start it in");
}

function transportOf(spec: TransportSpec, start: StartProcess): PluginTransport {
  if (spec.kind === "http") return createHttp(spec, HTTP_OPTIONS, start);
  return spec.mode === "spawn"
    ? createScriptSpawn(spec, MAX_WAITING_CALLS, start)
    : createScriptWorker(spec, SCRIPT_WORKER_LIMITS, start);
}

/** Of one that is called by HTTP only its `health_cmd` runs here. */
function hasProcesses(spec: TransportSpec): boolean {
  return spec.kind === "script" || spec.health?.kind === "command";
}
