/**
 * Use cases on hooks. Files are the truth: what a file sets is shown here and changed there. Hooks of a manifest are the plugin's
 * wish; a hook by command for the plugin takes their place.
 */
import type { ChangeOptions } from "../core/admin-ports.ts";
import { MairustError, NotFound, StaleVersion } from "../core/errors.ts";
import type { HookRowChange, HookView, StoredHook } from "../core/ports/hook-admin.ts";
import { type Actor, audited } from "./audit.ts";
import type { ServicePorts } from "./ports.ts";

/** Most hooks by command. */
const MAX_HOOKS = 1000;

type Keys = Readonly<Record<string, unknown>>;

/** In the order in which they run. */
export function listHooks(ports: ServicePorts): Promise<readonly HookView[]> {
  return ports.hooks.list();
}

/** The one in effect, of several with one name. @throws {MairustError} `not_found` */
export async function getHook(ports: ServicePorts, name: string): Promise<HookView> {
  return inEffect(await ports.hooks.list(), name);
}

/**
 * @param keys  of `[[hooks]]`, `name` among them
 * @throws {MairustError} `config_invalid` with all problems, `already_exists`, `not_permitted` (a file has the name), `too_many`
 */
export async function addHook(
  ports: ServicePorts,
  given: Keys,
  options: ChangeOptions & Actor,
): Promise<HookView> {
  const { name: asked, ...keys } = given;
  const name = typeof asked === "string" ? asked : "";
  const edit = (before: readonly HookView[]) => {
    const known = before.filter(view => view.row.name === name);
    refuseLocked(known);
    if (known.some(({ stored }) => stored !== undefined)) {
      const text = `there is a hook "${name}" already`;
      throw new MairustError("already_exists", `Cannot add: ${text}`, { publicText: text });
    }
    if (before.filter(({ stored }) => stored !== undefined).length >= MAX_HOOKS) {
      const text = `there are ${MAX_HOOKS} hooks by command already`;
      throw new MairustError("too_many", `Cannot add: ${text}`, { publicText: text });
    }
    const change = { kind: "put", name, keys, version: undefined } as const;
    return { changes: [change], needs: neededBy(keys) };
  };
  const entry = { actor: options.who, action: "hook.add", object: name, detail: { keys } };
  const views = await audited(ports, entry, options, () => ports.hooks.change(edit, options));
  await forgetDemotion(ports, name, options);
  return inEffect(views, name);
}

/**
 * @param keys     what is to be otherwise; null: back to the default. Those of `filter` and `demote` are changed one by one
 * @param version  that the caller saw
 * @throws {MairustError} `not_found`, `config_invalid`, `not_permitted` (file or manifest), {@link StaleVersion}
 */
export async function changeHook(
  ports: ServicePorts,
  name: string,
  keys: Keys,
  version: number,
  options: ChangeOptions & Actor,
): Promise<HookView> {
  const edit = (before: readonly HookView[]) => {
    const stored = changeable(before, name, version);
    if ("name" in keys && keys.name !== name) {
      const text = "a hook keeps its name; add another one and remove this one";
      throw new MairustError("invalid_argument", `Cannot change: ${text}`, { publicText: text });
    }
    const after = merged(stored.keys, keys);
    // What makes a hook weaker must work whatever its plugin's state is.
    const weakens = Object.keys(keys).every(key => ["mode", "enabled", "name"].includes(key));
    const isWeak = after.enabled === false || (after.mode ?? "shadow") === "shadow";
    const needs = weakens && isWeak ? [] : neededBy(after);
    const change: HookRowChange = { kind: "put", name, keys: after, version };
    return { changes: [change], needs };
  };
  const entry = { actor: options.who, action: "hook.change", object: name, detail: { keys } };
  const views = await audited(ports, entry, options, () => ports.hooks.change(edit, options));
  const isRestored = "mode" in keys && (await forgetDemotion(ports, name, options));
  return inEffect(isRestored ? await ports.hooks.list() : views, name);
}

/** Also one that a file of the same name shadows. @throws as {@link changeHook} */
export async function removeHook(
  ports: ServicePorts,
  name: string,
  version: number,
  options: ChangeOptions & Actor,
): Promise<HookView> {
  const removed: HookView[] = [];
  const edit = (before: readonly HookView[]) => {
    const view = before.find(one => one.row.name === name && one.stored !== undefined);
    if (view === undefined) changeable(before, name, version);
    else if (view.stored?.version !== version) throw new StaleVersion("hook", name);
    else removed.push(view);
    const change: HookRowChange = { kind: "remove", name, version };
    return { changes: [change], needs: [] };
  };
  const entry = { actor: options.who, action: "hook.remove", object: name, detail: {} };
  await audited(ports, entry, options, () => ports.hooks.change(edit, options));
  await forgetDemotion(ports, name, options);
  const [view] = removed;
  if (view === undefined) throw new NotFound("hook", name);
  return view;
}

/** Other priorities for several hooks: all of them, or none. @throws as {@link changeHook} */
export async function orderHooks(
  ports: ServicePorts,
  order: readonly { readonly name: string; readonly priority: number; readonly version: number }[],
  options: ChangeOptions & Actor,
): Promise<readonly HookView[]> {
  const edit = (before: readonly HookView[]) => {
    const changes = order.map(({ name, priority, version }): HookRowChange => {
      const { keys } = changeable(before, name, version);
      return { kind: "put", name, keys: { ...keys, priority }, version };
    });
    return { changes, needs: [] };
  };
  const detail = { priorities: Object.fromEntries(order.map(({ name, priority }) => [name, priority])) };
  const names = order.map(({ name }) => name).join(" ");
  const entry = { actor: options.who, action: "hook.reorder", object: names, detail };
  return audited(ports, entry, options, () => ports.hooks.change(edit, options));
}

/** A person has set the mode, or the hook is another now: what it was demoted for does not count any more. */
async function forgetDemotion(
  ports: ServicePorts,
  name: string,
  { dryRun, who }: ChangeOptions & Actor,
): Promise<boolean> {
  if (dryRun || ports.guard.demotion(name) === undefined) return false;
  await ports.audit.record({ actor: who, action: "hook.restore", object: name, detail: {} });
  return ports.guard.restore(name);
}

function inEffect(views: readonly HookView[], name: string): HookView {
  const view = views.find(one => one.row.name === name && one.state !== "shadowed");
  if (view === undefined) throw new NotFound("hook", name);
  return view;
}

/** @throws {MairustError} `not_permitted`: a file has the name */
function refuseLocked(known: readonly HookView[]): void {
  const file = known.find(({ origin }) => origin === "file");
  if (file === undefined) return;
  const text = `hook "${file.row.name}" is set in ${file.where}; change it there`;
  throw new MairustError("not_permitted", `Cannot change: ${text}`, { publicText: text });
}

function changeable(views: readonly HookView[], name: string, version: number): StoredHook {
  refuseLocked(views.filter(view => view.row.name === name));
  const { stored, row } = inEffect(views, name);
  if (stored === undefined) {
    const text = `hook "${name}" comes with plugin "${row.plugin}"; add a hook for the plugin, which then takes its place`;
    throw new MairustError("not_permitted", `Cannot change: ${text}`, { publicText: text });
  }
  if (stored.version !== version) throw new StaleVersion("hook", name);
  return stored;
}

function neededBy({ plugin, enabled }: Keys): readonly string[] {
  return typeof plugin === "string" && enabled !== false ? [plugin] : [];
}

/** RFC 7396, and one level deep in `filter` and `demote`. */
function merged(keys: Keys, patch: Keys): Keys {
  const out: Record<string, unknown> = { ...keys };
  for (const [key, value] of Object.entries(patch)) {
    const isNested = (key === "filter" || key === "demote") && isTable(value) && isTable(out[key] ?? {});
    if (key === "name") continue;
    if (value === null) delete out[key];
    else out[key] = isNested ? merged((out[key] ?? {}) as Keys, value) : value;
  }
  return out;
}

const isTable = (value: unknown): value is Keys =>
  typeof value === "object" && value !== null && !Array.isArray(value);
