/**
 * The plugins of this process: which there are, which may run and with what rights, and their processes. A plugin that cannot
 * run is reported and never stops the service: its hooks fail by their own policy.
 */
import type { Deadline } from "../core/deadline.ts";
import { messageOf, PluginError } from "../core/errors.ts";
import type { CreateTransport, HookPlugin, HookPlugins } from "../core/hook-plugin.ts";
import { grantsOf } from "../core/permissions-grants.ts";
import type { Log } from "../core/ports/log.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import type { Config, HookConfig } from "../wire/config/schema.ts";
import type { Manifest } from "../wire/manifest.ts";
import { planDependencies } from "./dependencies.ts";
import { discoverPlugins, type FoundPlugin, switchedOff } from "./discovery.ts";
import { type Enablement, enablePlugin, type Refusal, refusalError, refusalText } from "./enable.ts";
import { isCalledByHttp } from "./endpoint.ts";
import { findIdleHooks, healthOfIdle, type IdleHook, logIdleHooks } from "./idle-hooks.ts";
import { rowsOfManifest, violationPolicy } from "./manifest-hooks.ts";
import type { PluginLogs } from "./plugin-logs.ts";
import { transportSpec } from "./transport-spec.ts";

export interface PluginHostOptions {
  readonly config: Pick<Config, "plugins" | "plugin" | "hooks">;
  /** Folders besides `plugins.folders`, such as the samples of this package. */
  readonly extraFolders?: readonly string[];
  /** Of this service, for `[compat]`. */
  readonly hostVersion: string;
  readonly createTransport: CreateTransport;
  /** What calls by HTTP are signed with. */
  readonly secrets: PluginSecrets;
  readonly log: Log;
  /** Where the stderr of plugins goes. */
  readonly logs: Pick<PluginLogs, "write" | "dropped">;
}

export type PluginState =
  /** Nobody asked for it, or it is switched off: nothing of it is loaded. */
  | "disabled"
  /** Asked for, but it may not or cannot run. */
  | "refused"
  | "enabled";

export interface PluginStatus {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly folder: string;
  readonly state: PluginState;
  /** Why it is not enabled. */
  readonly reason: string | undefined;
  /** Its manifest; undefined when that was not found. */
  readonly entry: Manifest["entry"] | undefined;
}

export interface LoadedPlugins {
  readonly host: PluginHost;
  /** Rows for the hook runner: the configuration's, and those of manifests that no row names. */
  readonly hooks: readonly HookConfig[];
  /** What was asked for and cannot run, one error per plugin: a reload refuses these, a start goes on without them. */
  readonly refused: readonly PluginError[];
  /** Hooks of the configuration whose plugin is switched off or refused. */
  readonly idleHooks: readonly IdleHook[];
}

interface Entry {
  readonly plugin: HookPlugin;
  readonly transport: PluginTransport;
}

/** A plugin whose process did not come up. */
export interface StartFailure {
  readonly plugin: string;
  readonly error: unknown;
}

export class PluginHost implements HookPlugins {
  readonly #status: readonly PluginStatus[];
  readonly #plugins: ReadonlyMap<string, HookPlugin>;
  /** In dependency order. */
  readonly #running: readonly Entry[];
  readonly #idle: readonly IdleHook[];
  readonly #log: Log;
  /** Those whose start went well. */
  readonly #started = new Set<string>();

  constructor(
    status: readonly PluginStatus[],
    plugins: readonly HookPlugin[],
    idle: readonly IdleHook[],
    log: Log,
  ) {
    this.#status = status;
    this.#idle = idle;
    this.#plugins = new Map(plugins.map(plugin => [plugin.id, plugin]));
    this.#running = plugins.flatMap(plugin =>
      plugin.transport === undefined ? [] : [{ plugin, transport: plugin.transport }],
    );
    this.#log = log;
  }

  find(id: string): HookPlugin | undefined {
    return this.#plugins.get(id);
  }

  /** Every plugin that was found, and those that were asked for and not found. */
  list(): readonly PluginStatus[] {
    return this.#status;
  }

  /**
   * Start all processes. Never rejects: one that fails is logged, and its transport goes on trying when it is called.
   * @returns those that failed
   */
  async start(deadline: Deadline): Promise<readonly StartFailure[]> {
    const failures: StartFailure[] = [];
    const start = async ({ plugin, transport }: Entry) => {
      try {
        await transport.start(deadline);
        this.#started.add(plugin.id);
        this.#log.info("plugin_started", { plugin: plugin.id, version: plugin.version });
      } catch (error) {
        failures.push({ plugin: plugin.id, error });
        this.#log.error("plugin_start_failed", { plugin: plugin.id, error: messageOf(error) });
      }
    };
    await Promise.all(this.#running.map(start));
    return failures;
  }

  /** It came up when it was started. */
  hasStarted(id: string): boolean {
    return this.#started.has(id);
  }

  /** End every process; running calls may finish until the deadline. */
  async stop(deadline: Deadline): Promise<void> {
    const results = await Promise.allSettled(this.#running.map(({ transport }) => transport.stop(deadline)));
    for (const [i, result] of results.entries()) {
      if (result.status === "fulfilled") continue;
      this.#log.error("plugin_stop_failed", {
        plugin: this.#running[i]?.plugin.id,
        error: messageOf(result.reason),
      });
    }
  }

  /** Degraded when any plugin is, or when an enforced hook has none: mail goes on by each hook's policy. */
  async health(): Promise<{ readonly status: "ok" | "degraded"; readonly detail?: string }> {
    const idle = healthOfIdle(this.#idle);
    const troubles = this.#status
      .filter(({ state }) => state === "refused")
      .map(({ id, reason }) => `${id}: ${reason}`);
    troubles.push(...idle.troubles);
    // Together: one that hangs must not use up the time of the others.
    const healths = await Promise.all(this.#running.map(({ transport }) => transport.health()));
    for (const [i, health] of healths.entries()) {
      if (health.status !== "ok")
        troubles.push(
          `${this.#running[i]?.plugin.id}: ${health.status}${health.detail === undefined ? "" : ` (${health.detail})`}`,
        );
    }
    if (troubles.length > 0) return { status: "degraded", detail: troubles.join("; ") };
    return idle.note === undefined ? { status: "ok" } : { status: "ok", detail: idle.note };
  }
}

/** Find, check and prepare all plugins. Starts nothing; never rejects for what a plugin is. */
export async function loadPlugins(options: PluginHostOptions): Promise<LoadedPlugins> {
  const { config, log } = options;
  const found = await discoverPlugins([...config.plugins.folders, ...(options.extraFolders ?? [])]);
  for (const { folder, error } of found.problems)
    log.error("plugin_unreadable", { folder, error: error.message });
  const wanted = wantedPlugins(config, found.plugins);
  const enabled = checkAll(wanted, options);
  const refusals = new Map<string, PluginError>();
  const plugins: HookPlugin[] = [];
  for (const [id, checked] of enabled) plugins.push(await preparePlugin(id, checked, refusals, options));
  for (const [id, error] of refusals) log.error("plugin_refused", { plugin: id, reason: refusalText(error) });
  const reasons = new Map([...refusals].map(([id, error]) => [id, refusalText(error)]));
  const idleHooks = findIdleHooks(config, reasons);
  logIdleHooks(idleHooks, log);
  const host = new PluginHost(statusOf(found.plugins, enabled, reasons, config), plugins, idleHooks, log);
  // Hooks of the administrator stay, so that they fail by their policy; those that only the manifest asks for go.
  const hooks = [...wanted].flatMap(([id, { rows, byManifest }]) =>
    byManifest && refusals.has(id) ? [] : rows,
  );
  return { host, hooks, refused: [...refusals.values()], idleHooks };
}

interface Wanted {
  readonly plugin: FoundPlugin | undefined;
  readonly rows: readonly HookConfig[];
  /** The rows are the manifest's: the configuration has none. */
  readonly byManifest: boolean;
}

/** Asked for: named by a hook that is on, or given grants. Switched off ones are not asked for, whatever names them. */
function wantedPlugins(
  config: PluginHostOptions["config"],
  found: ReadonlyMap<string, FoundPlugin>,
): ReadonlyMap<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  const granted = Object.entries(config.plugin).filter(([, entry]) => Object.keys(entry.grants).length > 0);
  const named = config.hooks.filter(row => row.enabled).map(row => row.plugin);
  for (const id of new Set([...named, ...granted.map(([id]) => id)])) {
    if (switchedOff(id, config.plugins) !== undefined) continue;
    const plugin = found.get(id);
    const rows = config.hooks.filter(row => row.plugin === id);
    const byManifest = rows.length === 0 && plugin !== undefined;
    wanted.set(id, { plugin, rows: byManifest ? rowsOfManifest(plugin.manifest) : rows, byManifest });
  }
  return wanted;
}

interface Checked {
  readonly plugin: FoundPlugin | undefined;
  readonly enablement: Enablement | undefined;
}

/** In dependency order, those that cannot run last. */
function checkAll(
  wanted: ReadonlyMap<string, Wanted>,
  options: PluginHostOptions,
): ReadonlyMap<string, Checked> {
  const { config, hostVersion } = options;
  const checked = new Map<string, Checked>();
  for (const [id, { plugin, rows }] of wanted) {
    const context = { plugins: config.plugins, entry: config.plugin[id], hooks: rows, hostVersion };
    checked.set(id, { plugin, enablement: plugin && enablePlugin(plugin, context) });
  }
  const runnable = [...checked].filter(([, { enablement }]) => enablement?.refusals.length === 0);
  const plan = planDependencies(
    new Map(runnable.flatMap(([id, { plugin }]) => (plugin ? [[id, plugin.manifest] as const] : []))),
  );
  for (const [id, text] of plan.refused) {
    const entry = checked.get(id);
    if (entry?.enablement === undefined) continue;
    const refusals = [{ code: "plugin_dependency", text } as const];
    checked.set(id, { ...entry, enablement: { ...entry.enablement, refusals } });
  }
  const rank = (id: string) => (plan.order.includes(id) ? plan.order.indexOf(id) : plan.order.length);
  return new Map([...checked].sort(([a], [b]) => rank(a) - rank(b)));
}

async function preparePlugin(
  id: string,
  { plugin, enablement }: Checked,
  refusals: Map<string, PluginError>,
  options: PluginHostOptions,
): Promise<HookPlugin> {
  if (plugin === undefined) return missingPlugin(id, refusals);
  const refused = (reasons: readonly Refusal[]) => {
    const error = refusalError(id, reasons);
    refusals.set(id, error);
    return failedPlugin(id, plugin.manifest.version, `it is refused: ${refusalText(error)}`);
  };
  if (enablement === undefined || enablement.refusals.length > 0) return refused(enablement?.refusals ?? []);
  try {
    if (isCalledByHttp(plugin.manifest.entry)) await options.secrets.ensure(id);
    return readyPlugin(plugin, enablement, options);
  } catch (error) {
    // An address that nobody approved, or a secret that cannot be read: it may not run, and nobody else minds.
    if (!(error instanceof PluginError)) throw error;
    return refused([{ code: error.code, text: refusalText(error) }]);
  }
}

function missingPlugin(id: string, refusals: Map<string, PluginError>): HookPlugin {
  const error = refusalError(id, [
    { code: "plugin_load", text: "there is none in plugins.folders, or its manifest has errors" },
  ]);
  refusals.set(id, error);
  return failedPlugin(id, "0.0.0", `it is refused: ${refusalText(error)}`);
}

function failedPlugin(id: string, version: string, failure: string): HookPlugin {
  return {
    id,
    version,
    grants: grantsOf(),
    settings: {},
    wallTimeMs: Number.POSITIVE_INFINITY,
    onViolation: () => "drop",
    transport: undefined,
    failure,
  };
}

function readyPlugin(
  { folder, manifest }: FoundPlugin,
  enablement: Enablement,
  options: PluginHostOptions,
): HookPlugin {
  const { id, version, limits } = manifest;
  const log = options.log.child({ plugin: id });
  return {
    id,
    version,
    grants: enablement.grants,
    settings: enablement.settings,
    bccAllowed: options.config.plugin[id]?.bcc ?? [],
    wallTimeMs: limits?.wall_time_ms ?? Number.POSITIVE_INFINITY,
    onViolation: point => violationPolicy(manifest, point),
    transport: options.createTransport(transportSpec({ folder, manifest }, options, log)),
    failure: undefined,
  };
}

function statusOf(
  found: ReadonlyMap<string, FoundPlugin>,
  checked: ReadonlyMap<string, Checked>,
  refusals: ReadonlyMap<string, string>,
  config: PluginHostOptions["config"],
): readonly PluginStatus[] {
  const ids = [...new Set([...found.keys(), ...checked.keys()])].sort();
  return ids.map(id => {
    const plugin = found.get(id);
    const refusal = refusals.get(id);
    const base = {
      id,
      name: plugin?.manifest.name ?? id,
      version: plugin?.manifest.version ?? "",
      folder: plugin?.folder ?? "",
      entry: plugin?.manifest.entry,
    };
    if (refusal !== undefined) return { ...base, state: "refused", reason: refusal };
    if (checked.has(id)) return { ...base, state: "enabled", reason: undefined };
    return {
      ...base,
      state: "disabled",
      reason: switchedOff(id, config.plugins) ?? "no hook names it and nothing is granted to it",
    };
  });
}
