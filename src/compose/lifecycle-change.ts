/**
 * One change of a plugin's life: made ready first, so that everything that can be refused is found out; then recorded in the audit
 * log, made durable, and put into effect on this node. Other nodes are told, and read again every half minute in any case.
 *
 * A crash between two steps loses nothing: what is unpacked and not recorded goes at the next start, what is recorded is unpacked and
 * put into effect by it.
 */
import { MairustError, messageOf } from "../core/errors.ts";
import type { Audit } from "../core/ports/audit.ts";
import type { HookRowChange, HookRows, StoredHook } from "../core/ports/hook-admin.ts";
import type { GuardAdmin } from "../core/ports/hook-guard.ts";
import type { PluginRecord, PluginRegistry, StoredPackage } from "../core/ports/plugin-registry.ts";
import type { StoredSettings } from "../core/ports/plugin-settings.ts";
import { type InstalledPlugins, versionsOf } from "../plugins/installed.ts";
import { dependencyError, type NewRecord } from "../plugins/lifecycle-plan.ts";
import { changedRows } from "./changed-rows.ts";
import { checkHookRow, type HooksInUse } from "./hook-views.ts";
import type { HooksHandle, PreparedHooks } from "./hooks.ts";

/** Steps after which a crash is to be survived, for tests. */
export type LifecycleStep = "unpacked" | "prepared" | "audited" | "recorded";

export interface ChangeParts {
  readonly hooks: HooksHandle;
  readonly rows: Pick<HookRows, "list">;
  readonly registry: PluginRegistry;
  readonly installed: InstalledPlugins;
  readonly audit: Audit;
  readonly guard: Pick<GuardAdmin, "demotion" | "restore">;
  readonly onStep?: ((step: LifecycleStep) => Promise<void> | void) | undefined;
}

export interface LifecycleChange {
  readonly id: string;
  /** `plugin.enable` … */
  readonly action: string;
  readonly before: PluginRecord | undefined;
  /** `purge`: it goes, with all that hangs on it. */
  readonly after: NewRecord | "purge";
  readonly added?: StoredPackage | undefined;
  readonly rows?: readonly HookRowChange[];
  /** It must come up, with a health that is not an error, or nothing is changed. */
  readonly mustRun: boolean;
  /** Of the audit entry. */
  readonly detail: Readonly<Record<string, unknown>>;
  readonly actor: string;
  readonly dryRun: boolean;
  /** What of it is not in the database, for a purge. */
  readonly purge?: (() => Promise<void>) | undefined;
}

/** @returns what is in effect then; with `dryRun`: what would be */
export async function makeChange(parts: ChangeParts, change: LifecycleChange): Promise<HooksInUse> {
  const { registry, installed, rows } = parts;
  const before = await registry.list();
  const rowsBefore = await rows.list();
  for (const one of change.rows ?? []) if (one.kind === "put") await checkHookRow(one);
  refuseTaken(change, rowsBefore);
  const prepared = await prepare(parts, change, before, rowsBefore);
  await parts.onStep?.("prepared");
  if (change.dryRun) {
    await prepared.abort();
    return prepared.hooks;
  }
  try {
    await parts.audit.record({
      actor: change.actor,
      action: change.action,
      object: change.id,
      detail: change.detail,
    });
    await parts.onStep?.("audited");
    await record(parts, change);
  } catch (error) {
    await prepared.abort();
    throw error;
  }
  await prepared.commit();
  installed.forget(change.id);
  const records = await registry.list().catch(() => undefined);
  if (records !== undefined) await removeVersions(parts, change, records);
  await forgetDemotions(parts, change);
  await change.purge?.();
  return prepared.hooks;
}

async function record({ registry, onStep }: ChangeParts, change: LifecycleChange): Promise<void> {
  const { after, before, id, added, rows } = change;
  if (after === "purge") {
    await registry.purge(id, rows);
    return;
  }
  await registry.put(after, before?.rowVersion, added, rows);
  await onStep?.("recorded");
}

/** Found out before anything is started, also on a dry run. @throws {MairustError} `already_exists` */
function refuseTaken({ id, rows }: LifecycleChange, before: readonly StoredHook[]): void {
  const names = new Set(before.map(({ name }) => name));
  const taken = rows?.find(one => one.kind === "put" && one.version === undefined && names.has(one.name));
  if (taken === undefined) return;
  const text = `there is a hook "${taken.name}" already; mairust hook rm ${taken.name} makes room`;
  throw new MairustError("already_exists", `Cannot add a hook of plugin "${id}": ${text}`, {
    publicText: text,
  });
}

/** Somebody set these hooks, or they are gone: what they were demoted for does not count any more. */
async function forgetDemotions(
  { audit, guard }: ChangeParts,
  { actor, rows }: LifecycleChange,
): Promise<void> {
  for (const { name } of rows ?? []) {
    if (guard.demotion(name) === undefined) continue;
    await audit.record({ actor, action: "hook.restore", object: name, detail: {} });
    await guard.restore(name);
  }
}

async function prepare(
  { hooks }: ChangeParts,
  change: LifecycleChange,
  records: readonly PluginRecord[],
  rows: readonly StoredHook[],
): Promise<PreparedHooks> {
  const { id, after, mustRun } = change;
  const others = records.filter(one => one.id !== id);
  const now = { rowVersion: (change.before?.rowVersion ?? 0) + 1, updatedAt: new Date() };
  const next = after === "purge" ? others : [...others, { ...after, ...now }];
  const prepared = await explained(id, () =>
    hooks.prepare({
      records: next.sort((a, b) => (a.id < b.id ? -1 : 1)),
      rows: changedRows(rows, change.rows ?? []),
      needs: new Set(mustRun ? [id] : []),
      rereads: plugin => plugin === id,
      ...(after === "purge" ? { stored: settingsWithout(hooks, id) } : {}),
    }),
  );
  if (!mustRun) return prepared;
  const health = await prepared.hooks.loaded.host.healthOf(id, 0);
  if (health === undefined || health.status !== "error") return prepared;
  await prepared.abort();
  const text = `plugin "${id}" says that it does not work: ${health.detail ?? "no reason is given"}`;
  throw new MairustError("plugin_failed", `Cannot use ${text}`, { publicText: text, retry: "never" });
}

function settingsWithout(hooks: HooksHandle, id: string): ReadonlyMap<string, StoredSettings> {
  return new Map([...(hooks.inUse()?.stored ?? [])].filter(([plugin]) => plugin !== id));
}

/** What is missing of others has an error of its own; all other reasons are listed. */
async function explained<T>(id: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof MairustError) || error.code !== "config_invalid") throw error;
    const { errors } = error.context;
    const cause = Array.isArray(errors) ? errors.find(one => isDependency(one)) : undefined;
    if (cause !== undefined) throw dependencyError(id, messageOf(cause));
    throw error;
  }
}

const isDependency = (error: unknown): boolean =>
  error instanceof MairustError && error.code === "plugin_dependency";

/** From this node; a version that another node still runs stays there until it reads again. */
async function removeVersions(
  { installed }: ChangeParts,
  { before, id }: LifecycleChange,
  records: readonly PluginRecord[],
): Promise<void> {
  const now = records.find(one => one.id === id);
  const kept = new Set(now === undefined ? [] : versionsOf(now));
  // The change is in effect: what cannot be removed now goes at the next start.
  for (const version of before === undefined ? [] : versionsOf(before))
    if (!kept.has(version)) await installed.remove(id, version).catch(() => undefined);
}
