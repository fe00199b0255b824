/** Use cases on how far hooks go: promotion, the end of a demotion, recorded differences, bypass, what plugins cost. */
import type { ChangeOptions } from "../core/admin-ports.ts";
import { MairustError, NotFound } from "../core/errors.ts";
import { type HookFigures, notReady } from "../core/hook-figures.ts";
import type { HookView } from "../core/ports/hook-admin.ts";
import type { Bypass, HookDiff, PluginAllowance, PluginUsage } from "../core/ports/hook-guard.ts";
import { type Actor, audited } from "./audit.ts";
import { changeHook, getHook } from "./hooks.ts";
import type { ServicePorts } from "./ports.ts";

/** Longest bypass with an end. */
const MAX_BYPASS_S = 30 * 86_400;

export interface ModeChange {
  readonly mode: unknown;
  readonly canary_percent?: unknown;
  readonly canary_for?: unknown;
}

/**
 * Set a hook's mode; a demotion ends with it. Of a demoted hook by file or manifest the mode that is set there may be asked for again.
 * @param version  that the caller saw
 * @throws as {@link changeHook}
 */
export async function setHookMode(
  ports: ServicePorts,
  name: string,
  change: ModeChange,
  version: number,
  options: ChangeOptions & Actor,
): Promise<HookView> {
  const before = await getHook(ports, name);
  const isItsOwn = before.stored === undefined && change.mode === before.row.mode;
  if (before.demotion === undefined || !isItsOwn)
    return changeHook(ports, name, { ...change }, version, options);
  if (options.dryRun) return before;
  const entry = {
    actor: options.who,
    action: "hook.restore",
    object: name,
    detail: { mode: before.row.mode },
  };
  await audited(ports, entry, options, () => ports.guard.restore(name));
  return getHook(ports, name);
}

export interface Promoted {
  readonly view: HookView;
  readonly from: "shadow" | "canary";
  readonly figures: HookFigures;
  /** Empty: the figures were good. */
  readonly against: readonly string[];
}

/**
 * One step: shadow → canary → enforce. A demoted hook is in shadow.
 * @throws {MairustError} `invalid_state`: it is enforced already, or its figures of the last window speak against it (unless `force`);
 *         as {@link changeHook}
 */
export async function promoteHook(
  ports: ServicePorts,
  name: string,
  version: number,
  options: ChangeOptions & Actor & { readonly force: boolean },
): Promise<Promoted> {
  const before = await getHook(ports, name);
  const { demote, mode } = before.row;
  const from = before.demotion === undefined ? mode : "shadow";
  if (from === "enforce") throw refused(name, "it is enforced already");
  const figures = await ports.guard.figures(name, demote.window_s);
  const against = notReady(figures, demote);
  if (against.length > 0 && !options.force)
    throw refused(name, `${against.join("; ")}; --force does it all the same`);
  const to = from === "shadow" ? "canary" : "enforce";
  const detail = { from, to, ...figures, ...(against.length === 0 ? {} : { against }) };
  const entry = { actor: options.who, action: "hook.promote", object: name, detail };
  const change = () => changeHook(ports, name, { mode: to }, version, options);
  return { view: await audited(ports, entry, options, change), from, figures, against };
}

function refused(name: string, publicText: string): MairustError {
  return new MairustError("invalid_state", `Cannot promote hook "${name}": ${publicText}`, { publicText });
}

export interface DiffList {
  readonly counts: Readonly<Record<string, number>>;
  readonly diffs: readonly HookDiff[];
}

/** What a hook in shadow would have done. @throws {MairustError} `not_found` */
export async function listDiffs(ports: ServicePorts, name: string, limit: number): Promise<DiffList> {
  await getHook(ports, name);
  const counts = await ports.guard.diffCounts(name);
  return { counts, diffs: await ports.guard.diffs(name, limit) };
}

export function listBypasses(ports: ServicePorts): readonly Bypass[] {
  return ports.guard.bypasses();
}

/**
 * Call no plugin, or not this one, for a while. Plugins may be in any state.
 * @param forS  how long; undefined: until somebody ends it
 * @throws {MairustError} `not_found`, `invalid_argument`
 */
export async function startBypass(
  ports: ServicePorts,
  plugin: string | undefined,
  forS: number | undefined,
  options: ChangeOptions & Actor,
): Promise<readonly Bypass[]> {
  // A typing error must not look like a bypass.
  if (plugin !== undefined && !(await isKnown(ports, plugin))) throw new NotFound("plugin", plugin);
  if (forS !== undefined && (forS < 1 || forS > MAX_BYPASS_S)) {
    const publicText = `a bypass lasts from 1 to ${MAX_BYPASS_S} seconds, or until it is ended`;
    throw new MairustError("invalid_argument", `Cannot bypass: ${publicText}`, { publicText });
  }
  const at = new Date();
  const until = forS === undefined ? undefined : new Date(at.getTime() + forS * 1000);
  const bypass = { plugin, until, by: options.who, at };
  if (options.dryRun) return [...ports.guard.bypasses().filter(one => one.plugin !== plugin), bypass];
  const detail = { until: until?.toISOString() ?? null };
  const entry = { actor: options.who, action: "bypass.on", object: plugin ?? "*", detail };
  await audited(ports, entry, options, () => ports.guard.setBypass(bypass));
  const { who: by } = options;
  ports.log.warn("plugins bypassed", { plugin: plugin ?? "all", until: until?.toISOString() ?? "", by });
  return ports.guard.bypasses();
}

/** @param plugin  undefined: all of them. @throws {MairustError} `not_found`: there is none */
export async function endBypass(
  ports: ServicePorts,
  plugin: string | undefined,
  options: ChangeOptions & Actor,
): Promise<readonly Bypass[]> {
  const { who: by } = options;
  const none = () => new NotFound("bypass of plugin", String(plugin));
  if (options.dryRun) {
    const before = ports.guard.bypasses();
    const left = plugin === undefined ? [] : before.filter(one => one.plugin !== plugin);
    if (plugin !== undefined && left.length === before.length) throw none();
    return left;
  }
  const entry = { actor: by, action: "bypass.off", object: plugin ?? "*", detail: {} };
  await audited(ports, entry, options, async () => {
    const ended = await ports.guard.endBypass(plugin);
    if (ended === 0 && plugin !== undefined) throw none();
  });
  ports.log.info("bypass ended", { plugin: plugin ?? "all", by });
  return ports.guard.bypasses();
}

async function isKnown(ports: ServicePorts, plugin: string): Promise<boolean> {
  if (ports.plugins.list().some(({ id }) => id === plugin)) return true;
  return (await ports.hooks.list()).some(({ row }) => row.plugin === plugin);
}

export interface UsageList {
  readonly days: readonly PluginUsage[];
  readonly allowances: readonly PluginAllowance[];
}

export async function pluginUsage(
  ports: ServicePorts,
  plugin: string | undefined,
  days: number,
): Promise<UsageList> {
  const used = await ports.guard.usage(plugin, days);
  const allowances = ports.guard.allowances().filter(one => plugin === undefined || one.plugin === plugin);
  return { days: used, allowances };
}
