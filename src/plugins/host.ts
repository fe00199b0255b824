/**
 * The plugins of this process: which there are, which may run and with what rights, and their processes. A plugin that cannot
 * run is reported and never stops the service: its hooks fail by their own policy.
 */
import type { Deadline } from "../core/deadline.ts";
import { messageOf, PluginError } from "../core/errors.ts";
import type { CreateTransport, HookPlugin, HookPlugins } from "../core/hook-plugin.ts";
import { grantsOf } from "../core/permissions-grants.ts";
import { budgetOf, capsOf } from "../core/plugin-limits.ts";
import type { Log } from "../core/ports/log.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import type { PluginSecrets } from "../core/ports/plugin-secrets.ts";
import { NO_SETTINGS } from "../core/ports/plugin-settings.ts";
import type { PluginTransport } from "../core/ports/plugin-transport.ts";
import { deadlineAfter } from "../platform/deadline.ts";
import type { HookConfig } from "../wire/config/schema.ts";
import type { Manifest } from "../wire/manifest.ts";
import { type FoundPlugin, offReason } from "./discovery.ts";
import { type Enablement, type Refusal, refusalError, refusalText } from "./enable.ts";
import { isCalledByHttp } from "./endpoint.ts";
import { findPlugins, type RunningPlugins } from "./find-plugins.ts";
import { folderDigest } from "./folder-files.ts";
import { findIdleHooks, healthOfIdle, type IdleHook, logIdleHooks } from "./idle-hooks.ts";
import type { InstalledPlugins } from "./installed.ts";
import { violationPolicy } from "./manifest-hooks.ts";
import type { PluginLogs } from "./plugin-logs.ts";
import { parseDependency } from "./semver.ts";
import { poolKey, type TransportHealth, type TransportLease, TransportPool } from "./transport-pool.ts";
import { transportSpec } from "./transport-spec.ts";
import {
  askedPlugins,
  type Checked,
  checkPlugins,
  type PluginConfig,
  type Records,
  type SettingsOf,
  wantedPlugins,
} from "./wanted.ts";

/** For the end of transports that nothing calls yet. */
const GIVE_BACK_MS = 1000;

export type OnCrash = (plugin: string, reason: string, transport: PluginTransport) => void;

export interface PluginHostOptions {
  readonly config: PluginConfig;
  /** What was decided by command; default: nothing. */
  readonly records?: readonly PluginRecord[];
  /** Packages on this node; absent: nothing can be installed. */
  readonly installed?: Pick<InstalledPlugins, "find"> | undefined;
  /** Folder of plugins that come with this package, for those that are asked for. */
  readonly samples?: string | undefined;
  /** Default: none. */
  readonly settingsOf?: SettingsOf | undefined;
  /** Whose transports are taken over where they are the same; default: its own. */
  readonly pool?: TransportPool | undefined;
  /** Plugins of folders that run, as they were loaded. */
  readonly running?: RunningPlugins | undefined;
  /** A kept health is good enough until it is so old; default: ask each time. */
  readonly healthMaxAgeMs?: (() => number) | undefined;
  /** A process of a plugin ended by itself. @param transport  whose it was */
  readonly onCrash?: OnCrash | undefined;
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
  /** What it was made from; undefined when that was not found. */
  readonly found: FoundPlugin | undefined;
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
  readonly lease: TransportLease;
  /** What it was made from. */
  readonly found: FoundPlugin;
}

/** A plugin whose process did not come up. */
export interface StartFailure {
  readonly plugin: string;
  readonly error: unknown;
}

interface HostParts {
  readonly status: readonly PluginStatus[];
  readonly plugins: readonly HookPlugin[];
  /** In dependency order. */
  readonly running: readonly Entry[];
  readonly idle: readonly IdleHook[];
  readonly log: Log;
  readonly healthMaxAgeMs: () => number;
}

export class PluginHost implements HookPlugins {
  readonly #parts: HostParts;
  readonly #plugins: ReadonlyMap<string, HookPlugin>;
  readonly #running: ReadonlyMap<string, Entry>;
  /** Those whose start went well. */
  readonly #started = new Set<string>();

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.#plugins = new Map(parts.plugins.map(plugin => [plugin.id, plugin]));
    this.#running = new Map(parts.running.map(entry => [entry.plugin.id, entry]));
  }

  find(id: string): HookPlugin | undefined {
    return this.#plugins.get(id);
  }

  /** Every plugin that was found, and those that were asked for and not found. */
  list(): readonly PluginStatus[] {
    return this.#parts.status;
  }

  /**
   * Start all processes, those first that others depend on. Never rejects: one that fails is logged, and its transport goes on trying
   * when it is called.
   * @returns those that failed
   */
  async start(deadline: Deadline): Promise<readonly StartFailure[]> {
    const failures: StartFailure[] = [];
    const starting = new Map<string, Promise<void>>();
    const start = async ({ plugin, lease, found }: Entry) => {
      for (const text of found.manifest.depends ?? []) await starting.get(parseDependency(text).id);
      try {
        await lease.start(deadline);
        this.#started.add(plugin.id);
        this.#parts.log.info("plugin_started", { plugin: plugin.id, version: plugin.version });
      } catch (error) {
        failures.push({ plugin: plugin.id, error });
        this.#parts.log.error("plugin_start_failed", { plugin: plugin.id, error: messageOf(error) });
      }
    };
    for (const [id, entry] of this.#running) starting.set(id, start(entry));
    await Promise.all(starting.values());
    return failures;
  }

  /** It came up when it was started. */
  hasStarted(id: string): boolean {
    return this.#started.has(id);
  }

  /** What a plugin that came up was made from. */
  loaded(id: string): FoundPlugin | undefined {
    return this.#started.has(id) ? this.#running.get(id)?.found : undefined;
  }

  /** Give all transports back: processes that no other host has end; running calls may finish until the deadline. Once. */
  async stop(deadline: Deadline): Promise<void> {
    const entries = [...this.#running.values()];
    const results = await Promise.allSettled(entries.map(({ lease }) => lease.release(deadline)));
    for (const [i, result] of results.entries()) {
      if (result.status === "fulfilled") continue;
      this.#parts.log.error("plugin_stop_failed", {
        plugin: entries[i]?.plugin.id,
        error: messageOf(result.reason),
      });
    }
  }

  /**
   * @param maxAgeMs  a kept result that is not older is good enough
   * @returns         undefined: it has no process here
   */
  async healthOf(id: string, maxAgeMs: number): Promise<TransportHealth | undefined> {
    return this.#running.get(id)?.lease.health(maxAgeMs);
  }

  /** Degraded when any plugin is, or when an enforced hook has none: mail goes on by each hook's policy. */
  async health(): Promise<{ readonly status: "ok" | "degraded"; readonly detail?: string }> {
    const { status, idle: idleHooks, healthMaxAgeMs } = this.#parts;
    const idle = healthOfIdle(idleHooks);
    const troubles = status
      .filter(({ state }) => state === "refused")
      .map(({ id, reason }) => `${id}: ${reason}`);
    troubles.push(...idle.troubles);
    const maxAgeMs = healthMaxAgeMs();
    // Together: one that hangs must not use up the time of the others.
    const healths = await Promise.all(
      [...this.#running].map(async ([id, { lease }]) => ({ id, health: await lease.health(maxAgeMs) })),
    );
    for (const { id, health } of healths) {
      if (health.status !== "ok")
        troubles.push(`${id}: ${health.status}${health.detail === undefined ? "" : ` (${health.detail})`}`);
    }
    if (troubles.length > 0) return { status: "degraded", detail: troubles.join("; ") };
    return idle.note === undefined ? { status: "ok" } : { status: "ok", detail: idle.note };
  }
}

/** Find, check and prepare all plugins. Starts nothing; never rejects for what a plugin is. */
export async function loadPlugins(options: PluginHostOptions): Promise<LoadedPlugins> {
  const { config, log, settingsOf = () => NO_SETTINGS, hostVersion } = options;
  const records: Records = new Map((options.records ?? []).map(record => [record.id, record]));
  const asked = askedPlugins(config, records);
  const found = await findPlugins({ ...options, records, asked });
  const wanted = wantedPlugins(config, asked, found.plugins);
  const checked = checkPlugins(wanted, { config, hostVersion, records, settingsOf });
  const refusals = new Map<string, PluginError>();
  const pool = options.pool ?? new TransportPool();
  const plugins: HookPlugin[] = [];
  const running: Entry[] = [];
  try {
    for (const [id, one] of checked) {
      const made = await preparePlugin(id, one, { ...options, pool, broken: found.broken });
      if (made.refused !== undefined) refusals.set(id, made.refused);
      plugins.push(made.plugin);
      if (made.entry !== undefined) running.push(made.entry);
    }
  } catch (error) {
    // Nobody will have this host: what it took would never end.
    await giveBack(running);
    throw error;
  }
  for (const [id, error] of refusals) log.error("plugin_refused", { plugin: id, reason: refusalText(error) });
  const reasons = new Map([...refusals].map(([id, error]) => [id, refusalText(error)]));
  const idle = findIdleHooks(config, reasons, id => offReason(id, config.plugins, records.get(id)));
  logIdleHooks(idle, log);
  const status = statusOf({ found: found.plugins, checked, reasons, config, records });
  const healthMaxAgeMs = options.healthMaxAgeMs ?? (() => 0);
  const host = new PluginHost({ status, plugins, running, idle, log, healthMaxAgeMs });
  // Hooks of the administrator stay, so that they fail by their policy; those that only the manifest asks for go.
  const hooks = [...wanted].flatMap(([id, { rows, byManifest }]) =>
    byManifest && refusals.has(id) ? [] : rows,
  );
  return { host, hooks, refused: [...refusals.values()], idleHooks: idle };
}

/** Transports that were not started here: an end that fails leaves nothing more behind. */
async function giveBack(entries: readonly Entry[]): Promise<void> {
  const deadline = deadlineAfter(GIVE_BACK_MS);
  await Promise.allSettled(entries.map(({ lease }) => lease.release(deadline)));
  deadline.dispose();
}

interface PrepareParts extends PluginHostOptions {
  readonly pool: TransportPool;
  /** Installed packages that cannot be used. */
  readonly broken: ReadonlyMap<string, PluginError>;
}

interface Prepared {
  readonly plugin: HookPlugin;
  readonly entry?: Entry;
  readonly refused?: PluginError;
}

async function preparePlugin(
  id: string,
  { plugin, enablement }: Checked,
  parts: PrepareParts,
): Promise<Prepared> {
  const refused = (reasons: readonly Refusal[]): Prepared => {
    const error = refusalError(id, reasons);
    const version = plugin?.manifest.version ?? "0.0.0";
    return { plugin: failedPlugin(id, version, `it is refused: ${refusalText(error)}`), refused: error };
  };
  const broken = parts.broken.get(id);
  if (broken !== undefined) return refused([{ code: broken.code, text: refusalText(broken) }]);
  if (plugin === undefined)
    return refused([
      { code: "plugin_load", text: "there is none in plugins.folders, or its manifest has errors" },
    ]);
  if (enablement === undefined || enablement.refusals.length > 0) return refused(enablement?.refusals ?? []);
  try {
    if (isCalledByHttp(plugin.manifest.entry)) await parts.secrets.ensure(id);
    return readyPlugin(plugin, enablement, parts);
  } catch (error) {
    // An address that nobody approved, or a secret that cannot be read: it may not run, and nobody else minds.
    if (!(error instanceof PluginError)) throw error;
    return refused([{ code: error.code, text: refusalText(error) }]);
  }
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

function readyPlugin(found: FoundPlugin, enablement: Enablement, parts: PrepareParts): Prepared {
  const { manifest, installed, files } = found;
  const { id, version, limits } = manifest;
  const log = parts.log.child({ plugin: id });
  const made: { transport?: PluginTransport } = {};
  const onCrash = (reason: string) => made.transport && parts.onCrash?.(id, reason, made.transport);
  const spec = transportSpec(found, { ...parts, onCrash }, log);
  const code = installed?.digest ?? (files === undefined ? "" : folderDigest(files));
  const lease = parts.pool.lease(poolKey(spec, code), () => {
    made.transport = parts.createTransport(spec);
    return made.transport;
  });
  const plugin: HookPlugin = {
    id,
    version,
    grants: enablement.grants,
    settings: enablement.settings,
    bccAllowed: parts.config.plugin[id]?.bcc ?? [],
    caps: capsOf(manifest.caps, parts.config.plugin[id]?.caps),
    budget: budgetOf(manifest.budget, parts.config.plugin[id]?.budget),
    wallTimeMs: limits?.wall_time_ms ?? Number.POSITIVE_INFINITY,
    onViolation: point => violationPolicy(manifest, point),
    transport: lease.transport,
    failure: undefined,
  };
  return { plugin, entry: { plugin, lease, found } };
}

interface StatusParts {
  readonly found: ReadonlyMap<string, FoundPlugin>;
  readonly checked: ReadonlyMap<string, Checked>;
  readonly reasons: ReadonlyMap<string, string>;
  readonly config: PluginConfig;
  readonly records: Records;
}

function statusOf({ found, checked, reasons, config, records }: StatusParts): readonly PluginStatus[] {
  const installed = [...records.values()].filter(({ state }) => state !== "uninstalled");
  const ids = [...new Set([...found.keys(), ...checked.keys(), ...installed.map(({ id }) => id)])].sort();
  return ids.map(id => {
    const plugin = found.get(id);
    const record = records.get(id);
    const base = {
      id,
      name: plugin?.manifest.name ?? id,
      version: plugin?.manifest.version ?? record?.version ?? "",
      folder: plugin?.folder ?? "",
      entry: plugin?.manifest.entry,
      found: plugin,
    };
    const refusal = reasons.get(id);
    if (refusal !== undefined) return { ...base, state: "refused", reason: refusal };
    if (checked.has(id)) return { ...base, state: "enabled", reason: undefined };
    const off = offReason(id, config.plugins, record);
    const idle = record === undefined ? "no hook names it and nothing is granted to it" : "nobody enabled it";
    return { ...base, state: "disabled", reason: off ?? idle };
  });
}
