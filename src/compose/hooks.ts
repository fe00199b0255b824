/** Component "plugins": the plugin host and the hook chain over it. A reload starts the new plugins beside the old, switches, then ends the old. */
import { callId } from "../core/ids.ts";
import type { HookPoint, HookRunner } from "../core/ports/hooks.ts";
import { createHookRunner, type HookMetrics, type ReloadableHookRunner } from "../hooks/runner.ts";
import { type Component, component } from "../platform/component.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { uuid7Generator } from "../platform/uuid7.ts";
import { loadPlugins, type PluginHost } from "../plugins/host.ts";
import { createScriptWorker } from "../runtimes/script-worker.ts";
import { type Cell, cell } from "./cell.ts";
import type { Settings } from "./settings.ts";

/** For all plugins together to start; one that is slower goes on by itself and is called when it is there. */
const START_MS = 10_000;
/** For running calls of exchanged plugins. */
const EXCHANGE_MS = 10_000;

export interface HookParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
}

export interface HooksHandle {
  readonly component: Component;
  /** For those that run chains; before the component runs it has no hooks. */
  readonly runner: HookRunner;
  /** Use the plugins and hooks of the settings in effect. */
  reload(): Promise<void>;
}

export function hooksComponent(parts: HookParts): HooksHandle {
  const { settings, log, metrics, version } = parts;
  const runner = cell<ReloadableHookRunner>("hooks");
  const host = cell<PluginHost>("plugins");
  const load = () =>
    loadPlugins({
      config: settings.config,
      hostVersion: version,
      createTransport: createScriptWorker,
      log,
    });
  const newId = uuid7Generator();
  const start = async (one: PluginHost) => {
    const deadline = deadlineAfter(START_MS);
    await one.start(deadline);
    deadline.dispose();
  };
  return {
    runner: runnerOf(runner),
    component: component({
      info: {
        name: "plugins",
        version,
        description: "plugins and the hooks that they stand at",
        type: "plugin_host",
      },
      async init() {
        const loaded = await load();
        host.set(loaded.host);
        runner.set(
          createHookRunner({
            plugins: loaded.host,
            hooks: loaded.hooks,
            log,
            metrics: hookMetrics(metrics),
            now: () => new Date(),
            newCallId: () => callId(newId()),
            payloadBytesInFlight: settings.config.limits.payload_bytes_in_flight,
          }),
        );
      },
      start: () => start(host.get()),
      async stop(deadline) {
        await host.peek()?.stop(deadline);
      },
      health: () => host.get().health(),
    }),
    async reload() {
      const loaded = await load();
      await start(loaded.host);
      runner.get().replace(loaded.hooks, loaded.host);
      const old = host.get();
      host.set(loaded.host);
      const deadline = deadlineAfter(EXCHANGE_MS);
      await old.stop(deadline);
      deadline.dispose();
    },
  };
}

function runnerOf(current: Cell<ReloadableHookRunner>): HookRunner {
  return {
    has: (point: HookPoint) => current.peek()?.has(point) ?? false,
    run: (point, facts, deadline) => current.get().run(point, facts, deadline),
  };
}

function hookMetrics(metrics: Metrics): HookMetrics {
  return {
    call({ hook, plugin, outcome, seconds }) {
      metrics.hookCalls.inc({ hook, plugin, outcome });
      metrics.hookDuration.observe({ hook, plugin }, seconds);
      metrics.pluginCalls.inc({ plugin });
      metrics.pluginDuration.observe({ plugin }, seconds);
      if (outcome === "ok") metrics.hookLastSuccess.set({ hook, plugin }, Date.now() / 1000);
      else metrics.pluginErrors.inc({ plugin, kind: outcome });
    },
    denied: plugin => metrics.pluginDeniedActions.inc({ plugin }),
  };
}
