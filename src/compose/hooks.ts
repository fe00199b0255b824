/**
 * Component "plugins": the plugin host and the hook chain over it. A reload has two steps: the new
 * plugins are checked and started beside the old; then the hooks are switched and the old plugins ended.
 */
import { MairustError, messageOf } from "../core/errors.ts";
import { callId } from "../core/ids.ts";
import type { HookPoint, HookRunner } from "../core/ports/hooks.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import { compileHooks } from "../hooks/hook-set.ts";
import { createHookRunner, type HookMetrics, type ReloadableHookRunner } from "../hooks/runner.ts";
import { type Component, component } from "../platform/component.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { uuid7Generator } from "../platform/uuid7.ts";
import { loadPlugins, type PluginHost, type StartFailure } from "../plugins/host.ts";
import { createPluginLogs } from "../plugins/plugin-logs.ts";
import type { Config } from "../wire/config/schema.ts";
import { type Cell, cell } from "./cell.ts";
import type { Settings } from "./settings.ts";
import { createTransport } from "./transports.ts";

/** For all plugins together to start; one that is slower goes on by itself and is called when it is there. */
const START_MS = 10_000;
/** For running calls of exchanged plugins. */
const EXCHANGE_MS = 10_000;

export interface HookParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
  readonly secrets: PluginSecrets;
}

export interface HooksHandle {
  readonly component: Component;
  /** For those that run chains; before the component runs it has no hooks. */
  readonly runner: HookRunner;
  /** The plugins in use; undefined before the component runs. */
  readonly host: () => PluginHost | undefined;
  /**
   * Make plugins and hooks ready to take over: checked, compiled, started beside those in use, which are not touched.
   * @param config  default: the settings in effect
   * @throws {MairustError} `config_invalid`, `context.problems` as a list: a hook that cannot be used, or a plugin that was asked
   * for and is refused or does not start. Nothing that was started is left then.
   */
  prepare(config?: Config): Promise<PreparedHooks>;
}

/** Call one of both, once. Neither rejects. */
export interface PreparedHooks {
  /** Use them from the next chain on, and end the plugins before. */
  commit(): Promise<void>;
  /** End them; those in use stay. */
  abort(): Promise<void>;
}

export function hooksComponent(parts: HookParts): HooksHandle {
  const { settings, log, metrics, version, secrets } = parts;
  const runner = cell<ReloadableHookRunner>("hooks");
  const host = cell<PluginHost>("plugins");
  /** Prepared, and neither committed nor aborted: they end with the service. */
  const prepared = new Set<PluginHost>();
  const logs = createPluginLogs({ logDir: settings.config.log_dir, log, now: () => new Date() });
  const load = (config: Config) =>
    loadPlugins({ config, hostVersion: version, createTransport, secrets, log, logs });
  const newId = uuid7Generator();
  return {
    runner: runnerOf(runner),
    host: host.peek,
    component: component({
      info: {
        name: "plugins",
        version,
        description: "plugins and the hooks that they stand at",
        type: "plugin_host",
      },
      async init() {
        const loaded = await load(settings.config);
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
      async start() {
        await startHost(host.get());
      },
      async stop(deadline) {
        await Promise.all([host.peek(), ...prepared].map(one => one?.stop(deadline)));
        await logs.close();
      },
      health: () => host.get().health(),
    }),
    async prepare(config = settings.config) {
      const loaded = await load(config);
      refuse(loaded.refused);
      const hooks = compileHooks(loaded.hooks, loaded.host);
      prepared.add(loaded.host);
      const failures = await startHost(loaded.host);
      const abort = async () => {
        await stopHost(loaded.host);
        prepared.delete(loaded.host);
      };
      if (failures.length > 0) {
        await abort();
        refuse(failures.map(({ error }) => error));
      }
      return {
        abort,
        async commit() {
          runner.get().replace(hooks);
          const old = host.get();
          host.set(loaded.host);
          prepared.delete(loaded.host);
          await stopHost(old);
        },
      };
    },
  };
}

/** @throws {MairustError} `config_invalid` unless the list is empty */
function refuse(errors: readonly unknown[]): void {
  if (errors.length === 0) return;
  const problems = errors.map(messageOf);
  throw new MairustError("config_invalid", `Cannot use the plugins: ${problems.join("; ")}`, {
    context: { problems },
  });
}

async function startHost(host: PluginHost): Promise<readonly StartFailure[]> {
  const deadline = deadlineAfter(START_MS);
  try {
    return await host.start(deadline);
  } finally {
    deadline.dispose();
  }
}

async function stopHost(host: PluginHost): Promise<void> {
  const deadline = deadlineAfter(EXCHANGE_MS);
  try {
    await host.stop(deadline);
  } finally {
    deadline.dispose();
  }
}

function runnerOf(current: Cell<ReloadableHookRunner>): HookRunner {
  return {
    has: (point: HookPoint) => current.peek()?.has(point) ?? false,
    needs: point => current.peek()?.needs(point) ?? { headers: false, body: false, hold: false },
    run: (point, facts, deadline, options) => current.get().run(point, facts, deadline, options),
  };
}

function hookMetrics(metrics: Metrics): HookMetrics {
  return {
    call({ hook, plugin, outcome, seconds }) {
      metrics.hookCalls.inc({ hook, plugin, outcome });
      if (outcome === "skipped") return;
      metrics.hookDuration.observe({ hook, plugin }, seconds);
      metrics.pluginCalls.inc({ plugin });
      metrics.pluginDuration.observe({ plugin }, seconds);
      if (outcome === "ok") metrics.hookLastSuccess.set({ hook, plugin }, Date.now() / 1000);
      else metrics.pluginErrors.inc({ plugin, kind: outcome });
    },
    denied: (plugin, item) => metrics.pluginDeniedActions.inc({ plugin, item }),
  };
}
