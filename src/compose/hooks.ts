/**
 * Component "plugins": the plugin host and the hook chain over it. A reload has two steps: the new
 * plugins are checked and started beside the old; then the hooks are switched and the old plugins ended.
 */
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf } from "../core/errors.ts";
import type { HookPlugin } from "../core/hook-plugin.ts";
import { callId } from "../core/ids.ts";
import type { EgressProxies } from "../core/ports/egress.ts";
import type { HookRows, StoredHook } from "../core/ports/hook-admin.ts";
import type { HookPoint, HookRunner, LateAnswers } from "../core/ports/hooks.ts";
import type { Ledger } from "../core/ports/ledger.ts";
import type { PluginRecord, PluginRegistry } from "../core/ports/plugin-registry.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import { NO_SETTINGS, type PluginSettings, type StoredSettings } from "../core/ports/plugin-settings.ts";
import { type BrokenCircuit, brokenText } from "../hooks/circuits.ts";
import type { HookGuard } from "../hooks/guard.ts";
import { compileHooks } from "../hooks/hook-set.ts";
import { createHookRunner, type ReloadableHookRunner } from "../hooks/runner.ts";
import { type Component, component } from "../platform/component.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import { uuid7Generator } from "../platform/uuid7.ts";
import { loadPlugins, type OnCrash, type PluginHost, type StartFailure } from "../plugins/host.ts";
import type { InstalledPlugins } from "../plugins/installed.ts";
import { createPluginLogs } from "../plugins/plugin-logs.ts";
import { TransportPool } from "../plugins/transport-pool.ts";
import type { Config } from "../wire/config/schema.ts";
import { type Cell, cell } from "./cell.ts";
import { hookMetrics } from "./hook-metrics.ts";
import { type HooksInUse, withHookRows } from "./hook-views.ts";
import { confinedListener, createSandbox } from "./sandbox.ts";
import type { Settings } from "./settings.ts";
import { transportsIn } from "./transports.ts";

/** For all plugins together to start; one that is slower goes on by itself and is called when it is there. */
const START_MS = 10_000;
/** For chains that still run with exchanged plugins, and for calls of theirs. */
const EXCHANGE_MS = 10_000;

export interface HookParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
  /** Hears of every payload before it leaves. */
  readonly ledger?: Ledger;
  /** Takes the answers of hooks with `late = "apply"`. */
  readonly lateAnswers?: LateAnswers;
  /** Bypass, budgets, caps, demotions. */
  readonly guard?: HookGuard;
  /** Says on which side of a canary a message is: the same on all nodes. */
  readonly canaryKey?: Uint8Array;
  /** Hooks by command; absent: there are none. */
  readonly rows?: Pick<HookRows, "list">;
  readonly secrets: PluginSecrets;
  /** What was decided about plugins by command; absent: nothing. */
  readonly records?: Pick<PluginRegistry, "list">;
  readonly installed?: InstalledPlugins;
  /** Folder of the samples of this package. */
  readonly samples?: string;
  /** Settings of plugins by command; absent: there are none. */
  readonly stored?: Pick<PluginSettings, "all">;
  /** A process of a plugin in use ended by itself. */
  readonly onCrash?: (plugin: string, reason: string) => void;
  /** The way out of sandboxes; absent: there is none. */
  readonly egress?: EgressProxies;
}

export interface PrepareOptions {
  /** Default: the settings in effect. */
  readonly config?: Config;
  /** Hooks by command; default: those in effect. */
  readonly rows?: readonly StoredHook[];
  /** What was decided about plugins by command; default: as in effect. */
  readonly records?: readonly PluginRecord[];
  /** Settings of plugins by command; default: as in effect. */
  readonly stored?: ReadonlyMap<string, StoredSettings>;
  /**
   * Plugins of folders whose files are read again; the others go on with what was loaded. Default: all with a configuration, else none.
   */
  readonly rereads?: (plugin: string) => boolean;
  /**
   * Plugins that must be able to run; default: all. When there are any, so must those that run now: a change for one plugin must not
   * end another. None: what makes hooks weaker must work whatever the plugins' state is.
   */
  readonly needs?: ReadonlySet<string>;
}

export interface HooksHandle {
  readonly component: Component;
  /** For those that run chains; before the component runs it has no hooks. */
  readonly runner: HookRunner;
  /** Before the component runs: nothing. */
  inUse(): HooksInUse | undefined;
  /** Plugins that are not called now, because they failed too often. */
  brokenCircuits(): readonly BrokenCircuit[];
  /** The plugins in use; undefined before the component runs. */
  readonly host: () => PluginHost | undefined;
  /**
   * Make plugins and hooks ready to take over: checked, compiled, started beside those in use, which are not touched.
   * @throws {MairustError} `config_invalid`, `context.problems` as a list: a hook that cannot be used, or a plugin that was asked
   * for and is refused or does not start. Nothing that was started is left then.
   */
  prepare(options?: PrepareOptions): Promise<PreparedHooks>;
}

/** Call one of both, once. Neither rejects. */
export interface PreparedHooks {
  readonly hooks: HooksInUse;
  /** Use them from the next chain on, and end the plugins before. */
  commit(): Promise<void>;
  /** End them; those in use stay. */
  abort(): Promise<void>;
}

export function hooksComponent(parts: HookParts): HooksHandle {
  const { settings, log, metrics, version, secrets, ledger, lateAnswers, egress, guard, canaryKey } = parts;
  const runner = cell<ReloadableHookRunner>("hooks");
  const host = cell<PluginHost>("plugins");
  /** Prepared, and neither committed nor aborted: they end with the service. */
  const prepared = new Set<PluginHost>();
  const logs = createPluginLogs({ logDir: settings.config.log_dir, log, now: () => new Date() });
  const inUse = cell<HooksInUse>("plugins");
  const sandbox = createSandbox(settings.config, egress);
  const { plugins, plugin } = settings.config;
  // It takes half a second, in which the database can start.
  if (plugins.enabled && Object.keys(plugin).some(id => !plugins.allow_unsandboxed.includes(id)))
    void sandbox.holding();
  const createTransport = transportsIn(sandbox, confinedListener(metrics, log));
  const pool = new TransportPool();
  const healthMaxAgeMs = () => settings.config.plugins.health_interval_s * 1000;
  const load = async (
    made: Pick<HooksInUse, "config" | "rows" | "records" | "stored">,
    rereads: (plugin: string) => boolean,
  ): Promise<HooksInUse> => {
    const config = await withHookRows(made.config, made.rows);
    const running = { find: (id: string) => host.peek()?.loaded(id), rereads };
    const { installed, samples } = parts;
    const settingsOf = (id: string) => made.stored.get(id) ?? NO_SETTINGS;
    // What crashes while it is tried does not count against what runs.
    const onCrash: OnCrash = (id, reason, transport) => {
      if (host.peek()?.find(id)?.transport === transport) parts.onCrash?.(id, reason);
    };
    const hosted = { hostVersion: version, createTransport, secrets, log, logs, pool, healthMaxAgeMs };
    const sources = { records: made.records, running, installed, samples, settingsOf, onCrash };
    return { ...made, loaded: await loadPlugins({ config, ...hosted, ...sources }) };
  };
  const newId = uuid7Generator();
  return {
    runner: runnerOf(runner),
    inUse: () => inUse.peek(),
    brokenCircuits: () => runner.peek()?.brokenCircuits() ?? [],
    host: () => inUse.peek()?.loaded.host,
    component: component({
      info: {
        name: "plugins",
        version,
        description: "plugins and the hooks that they stand at",
        type: "plugin_host",
      },
      async init() {
        const rows = (await parts.rows?.list()) ?? [];
        const records = (await parts.records?.list()) ?? [];
        const stored = (await parts.stored?.all()) ?? new Map();
        const gone = await parts.installed?.clean(records).catch((error: unknown) => {
          log.error("unused plugin versions not removed", { reason: messageOf(error) });
          return undefined;
        });
        if (gone !== undefined && gone.length > 0)
          log.info("unused plugin versions removed", { versions: gone.join(" ") });
        const made = await load({ config: settings.config, rows, records, stored }, () => true);
        const { loaded } = made;
        inUse.set(made);
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
            ...(ledger === undefined ? {} : { ledger }),
            ...(lateAnswers === undefined ? {} : { lateAnswers }),
            ...(guard === undefined ? {} : { guard }),
            ...(canaryKey === undefined ? {} : { canaryKey }),
          }),
        );
      },
      async start() {
        await startHost(host.get());
      },
      async stop(deadline) {
        await inTime(runner.peek()?.settled() ?? Promise.resolve(), deadline);
        await Promise.all([host.peek(), ...prepared].map(one => one?.stop(deadline)));
        sandbox.close();
        await logs.close();
      },
      health: async () => withCircuits(await host.get().health(), runner.get().brokenCircuits()),
    }),
    async prepare(options = {}) {
      const { config = settings.config, rows = inUse.get().rows, records = inUse.get().records } = options;
      const { stored = inUse.get().stored } = options;
      const { needs, rereads = () => options.config !== undefined } = options;
      const made = await load({ config, rows, records, stored }, rereads);
      const { loaded } = made;
      prepared.add(loaded.host);
      const abort = async () => {
        await stopHost(loaded.host);
        prepared.delete(loaded.host);
      };
      const runs = (plugin: string) => host.peek()?.hasStarted(plugin) === true;
      const isNeeded = (plugin: unknown) =>
        needs === undefined || needs.has(String(plugin)) || (needs.size > 0 && runs(String(plugin)));
      const orAbort = async <T>(work: () => Promise<T> | T): Promise<T> => {
        try {
          return await work();
        } catch (error) {
          await abort();
          throw error;
        }
      };
      const hooks = await orAbort(async () => {
        refuse(loaded.refused.filter(({ context }) => isNeeded(context.plugin)));
        const compiled = compileHooks(loaded.hooks, loaded.host);
        const failures = (await startHost(loaded.host)).filter(({ plugin }) => isNeeded(plugin));
        refuse(failures.map(({ error }) => error));
        return compiled;
      });
      return {
        hooks: made,
        abort,
        async commit() {
          const current = runner.get();
          // Asked before the exchange: later chains do not need the plugins of before.
          const ended = current.settled();
          current.replace(hooks);
          inUse.set(made);
          const old = host.get();
          host.set(loaded.host);
          prepared.delete(loaded.host);
          await stopHost(old, ended);
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
    context: { problems, errors },
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

/** @param chains  that may still call these plugins */
async function stopHost(host: PluginHost, chains: Promise<void> = Promise.resolve()): Promise<void> {
  const deadline = deadlineAfter(EXCHANGE_MS);
  try {
    await inTime(chains, deadline);
    await host.stop(deadline);
  } finally {
    deadline.dispose();
  }
}

/** Who is too slow is cut with the plugins. */
async function inTime(work: Promise<void>, deadline: Deadline): Promise<void> {
  await within(work, deadline).catch(() => undefined);
}

function runnerOf(current: Cell<ReloadableHookRunner>): HookRunner {
  return {
    has: (point: HookPoint) => current.peek()?.has(point) ?? false,
    needs: point => current.peek()?.needs(point) ?? { headers: false, body: false, hold: false },
    run: (point, facts, deadline, options) => current.get().run(point, facts, deadline, options),
  };
}

/** Degraded while a plugin is not called: its hooks follow `on_error`. */
function withCircuits(
  health: Awaited<ReturnType<PluginHost["health"]>>,
  broken: readonly BrokenCircuit[],
): Awaited<ReturnType<PluginHost["health"]>> {
  if (broken.length === 0) return health;
  const troubles = broken.map(one => `${one.plugin}: ${brokenText(one)}`);
  const detail = [...(health.detail === undefined ? [] : [health.detail]), ...troubles].join("; ");
  return { status: "degraded", detail };
}

/** Those that may run. */
export function pluginsInUse({ host }: Pick<HooksHandle, "host">): readonly HookPlugin[] {
  const current = host();
  return (current?.list() ?? []).flatMap(({ id }) => current?.find(id) ?? []);
}
