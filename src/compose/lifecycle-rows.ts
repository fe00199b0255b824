/** Hooks by command that come and go with a plugin, and what files keep from being changed by command. */
import { MairustError } from "../core/errors.ts";
import type { HookRowChange, HookRows } from "../core/ports/hook-admin.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import { originText } from "../platform/config/problem.ts";
import type { InstalledPlugins } from "../plugins/installed.ts";
import { rowsOfManifest } from "../plugins/manifest-hooks.ts";
import type { HookConfig } from "../wire/config/schema.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { Settings } from "./settings.ts";

interface RowParts {
  readonly settings: Settings;
  readonly rows: Pick<HookRows, "list">;
  readonly installed: Pick<InstalledPlugins, "find">;
}

/** Longest hook name. */
const MAX_NAME = 64;

/**
 * One for each of its points where it has none; else the mode of those by command, when one is asked for.
 * @throws {MairustError} `not_permitted`: a file sets its hooks, and another mode is asked for
 */
export async function rowsToEnable(
  parts: RowParts,
  manifest: Manifest,
  mode: string | undefined,
): Promise<readonly HookRowChange[]> {
  const [inFile] = parts.settings.config.hooks.filter(({ plugin }) => plugin === manifest.id);
  const stored = await rowsOf(parts, manifest.id);
  if (inFile !== undefined && mode !== undefined) {
    const text = `its hook "${inFile.name}" is set in a configuration file; change its mode there`;
    throw new MairustError("not_permitted", `Cannot enable plugin "${manifest.id}": ${text}`, {
      publicText: text,
    });
  }
  if (inFile !== undefined) return [];
  if (stored.length === 0) return rowsOfManifest(manifest).map(row => rowFor(row, mode ?? "shadow"));
  if (mode === undefined) return [];
  return stored.map(({ name, keys, version }) => ({ kind: "put", name, keys: { ...keys, mode }, version }));
}

/** Where a plugin has hooks by command, a point that is new gets one too, in shadow; else its manifest's do. */
export async function rowsForNewPoints(
  parts: RowParts,
  before: PluginRecord | undefined,
  pending: string,
): Promise<readonly HookRowChange[]> {
  if (before === undefined) return [];
  const stored = await rowsOf(parts, before.id);
  if (stored.length === 0) return [];
  const { manifest } = await parts.installed.find(before, pending);
  const known = new Set(stored.map(({ keys }) => keys.point));
  return rowsOfManifest(manifest)
    .filter(({ point }) => !known.has(point))
    .map(row =>
      rowFor(
        { ...row, name: `${before.id}.${row.point}`.slice(-MAX_NAME).replace(/^[^a-z0-9]+/u, "") },
        "shadow",
      ),
    );
}

export async function rowsToRemove(parts: RowParts, id: string): Promise<readonly HookRowChange[]> {
  return (await rowsOf(parts, id)).map(({ name, version }) => ({ kind: "remove", name, version }));
}

async function rowsOf({ rows }: RowParts, id: string) {
  return (await rows.list()).filter(({ keys }) => keys.plugin === id);
}

function rowFor(row: HookConfig, mode: string): HookRowChange {
  const { name, point, plugin, priority, timeout_ms, on_timeout, on_error, filter } = row;
  const { late, late_timeout_ms, per_recipient, parallel } = row;
  const narrowed = Object.fromEntries(
    (["recipient", "sender"] as const).flatMap(key => (filter[key] === "" ? [] : [[key, filter[key]]])),
  );
  const keys = { point, plugin, priority, mode, timeout_ms, on_timeout, on_error, per_recipient, parallel };
  const more = late === "drop" ? {} : { late, late_timeout_ms };
  const filtered = Object.keys(narrowed).length === 0 ? {} : { filter: narrowed };
  return { kind: "put", name, keys: { ...keys, ...more, ...filtered }, version: undefined };
}

export function hooksText(rows: readonly HookRowChange[]): string {
  const texts = rows.map(row => (row.kind === "put" ? `${row.name} (${row.keys.mode})` : row.name));
  return `hooks: ${texts.join(", ")}`;
}

export function lockedGrants({ settings }: Pick<RowParts, "settings">, id: string): MairustError {
  const prefix = new RegExp(`^plugin[."\\[]+${id.replaceAll(".", "\\.")}[."\\]]+grants`, "u");
  const origin = [...settings.loaded.origins].find(([key]) => prefix.test(key))?.[1];
  const where = origin === undefined ? "a configuration file" : originText(origin);
  const text = `the grants of plugin "${id}" are set in ${where}; change them there`;
  return new MairustError("not_permitted", `Cannot approve: ${text}`, { publicText: text });
}
