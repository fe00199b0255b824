/**
 * Hooks by command on the running service: what there is, changes, and calls on trial. A change is made ready first (everything that
 * can be refused is found out then), made durable, and put into effect. Other nodes read the rows again every half minute: no
 * notification can be missed, and the hooks of two nodes differ for that long at most.
 */
import { isDeepStrictEqual } from "node:util";
import { MairustError, messageOf, NotFound } from "../core/errors.ts";
import type { HookControl, HookRows, HookTest, StoredHook, TestMessage } from "../core/ports/hook-admin.ts";
import type { PluginRecord, PluginRegistry } from "../core/ports/plugin-registry.ts";
import type { PluginSettings, StoredSettings } from "../core/ports/plugin-settings.ts";
import type { HookGuard } from "../hooks/guard.ts";
import { type Component, component } from "../platform/component.ts";
import { every } from "../platform/deadline.ts";
import type { RootLog } from "../platform/log.ts";
import type { Metrics } from "../platform/metrics.ts";
import type { InstalledPlugins } from "../plugins/installed.ts";
import type { HookConfig } from "../wire/config/schema.ts";
import { changedRows } from "./changed-rows.ts";
import { checkHookRow, type HookCounts, type HooksInUse, hookViews } from "./hook-views.ts";
import type { HooksHandle } from "./hooks.ts";
import type { Settings } from "./settings.ts";
import type { Turns } from "./turns.ts";

const REREAD_MS = 30_000;

export interface HookControlParts {
  readonly settings: Settings;
  readonly log: RootLog;
  readonly metrics: Metrics;
  readonly version: string;
  readonly hooks: HooksHandle;
  readonly rows: HookRows;
  /** What was decided about plugins by command; absent: nothing. */
  readonly records?: Pick<PluginRegistry, "list">;
  /** Settings of plugins by command; absent: there are none. */
  readonly stored?: Pick<PluginSettings, "all">;
  /** Packages of other nodes come and go here too. */
  readonly installed?: Pick<InstalledPlugins, "forget" | "clean">;
  readonly turns: Turns;
  readonly guard?: Pick<HookGuard, "demotions" | "bypasses">;
  /** Call a hook on trial. */
  readonly call: (row: HookConfig, inUse: HooksInUse, message: TestMessage) => Promise<HookTest>;
}

export interface HookControlHandle {
  /** Reads what other nodes changed. */
  readonly component: Component;
  readonly control: HookControl;
  /** At once, what else is done every half minute. @throws {MairustError} `store_unavailable`, `config_invalid` */
  reread(): Promise<void>;
}

export function hookControl(parts: HookControlParts): HookControlHandle {
  const { settings, log, metrics, version, hooks, rows, turns, guard, call } = parts;
  const viewsOf = async (inUse: HooksInUse) =>
    hookViews({
      inUse,
      origins: settings.loaded.origins,
      calls: await countsByHook(metrics.hookCalls, "outcome"),
      diffs: await countsByHook(metrics.hookDiffs, "field"),
      broken: hooks.brokenCircuits(),
      guard,
    });
  const reread = () =>
    turns(async () => {
      const inUse = used(hooks);
      const now = await rows.list();
      const records = (await parts.records?.list()) ?? inUse.records;
      const stored = (await parts.stored?.all()) ?? inUse.stored;
      const isSame =
        areSame(now, inUse.rows, rowMark) &&
        areSame(records, inUse.records, recordMark) &&
        areSame(settingsMarks(stored), settingsMarks(inUse.stored), mark => mark);
      if (isSame) return;
      const known = new Set(inUse.records.map(recordMark));
      for (const record of records) if (!known.has(recordMark(record))) parts.installed?.forget(record.id);
      await (await hooks.prepare({ rows: now, records, stored, needs: new Set() })).commit();
      await parts.installed?.clean(records);
      log.info("hooks changed by another node", { hooks: now.length, plugins: records.length });
    });
  const ends: Array<() => void> = [];
  const failed = (error: unknown) => log.error("hooks not read again", { reason: messageOf(error) });
  return {
    reread,
    component: component({
      info: {
        name: "hooks",
        version,
        description: "hooks by command, kept in step with other nodes",
        type: "service",
      },
      start: () => void ends.push(every(REREAD_MS, reread, failed)),
      stop() {
        for (const end of ends.splice(0)) end();
      },
    }),
    control: {
      list: async () => viewsOf(used(hooks)),
      change: (edit, { dryRun }) =>
        turns(async () => {
          // Another node may have changed them: what the caller saw is compared with what is there.
          const before = { ...used(hooks), rows: await rows.list() };
          const { changes, needs } = edit(await viewsOf(before));
          const after = changedRows(before.rows, changes);
          for (const one of changes) if (one.kind === "put") await checkHookRow(one);
          const prepared = await hooks.prepare({ rows: after, needs: new Set(needs) });
          try {
            if (!dryRun) await rows.apply(changes);
          } catch (error) {
            await prepared.abort();
            throw error;
          }
          if (dryRun) {
            const views = await viewsOf(prepared.hooks);
            await prepared.abort();
            return views;
          }
          await prepared.commit();
          return viewsOf({ ...prepared.hooks, rows: await rows.list().catch(() => after) });
        }),
      async test(name, message) {
        const inUse = used(hooks);
        const view = (await viewsOf(inUse)).find(one => one.row.name === name && one.state !== "shadowed");
        if (view === undefined) throw new NotFound("hook", name);
        return call(view.row, inUse, message);
      },
    },
  };
}

/** @throws {MairustError} `draining`: the plugins are not there yet, or no more */
function used(hooks: HooksHandle): HooksInUse {
  const inUse = hooks.inUse();
  if (inUse !== undefined) return inUse;
  throw new MairustError("draining", "Cannot look at the hooks: they are not started");
}

/**
 * Times are the database's in one list and ours in the other. Versions tell changes apart, but what is removed and made again has the
 * versions of before: so the content counts too.
 */
const rowMark = ({ name, version, keys }: StoredHook) => [name, version, keys];
const recordMark = ({ id, rowVersion, state, version, approval }: PluginRecord): string =>
  [id, rowVersion, state, version, approval?.digest, approval?.at.toISOString()].join(" ");
/** In one order, whichever was set first. */
const settingsMarks = (stored: ReadonlyMap<string, StoredSettings>) =>
  [...stored].sort(([a], [b]) => (a < b ? -1 : 1)).map(([id, { version, values }]) => [id, version, values]);

function areSame<T>(a: readonly T[], b: readonly T[], mark: (one: T) => unknown): boolean {
  return isDeepStrictEqual(a.map(mark), b.map(mark));
}

async function countsByHook<L extends "outcome" | "field">(
  counter: Pick<Metrics["hookCalls"] | Metrics["hookDiffs"], "get">,
  label: L,
): Promise<HookCounts> {
  const counts = new Map<string, Record<string, number>>();
  for (const { labels, value } of (await counter.get()).values) {
    const { hook, ...rest }: Readonly<Record<string, unknown>> = labels;
    const known = counts.get(String(hook)) ?? {};
    const name = String(rest[label]);
    known[name] = (known[name] ?? 0) + value;
    counts.set(String(hook), known);
  }
  return counts;
}
