/**
 * Finds plugins in development folders. Reads manifests, runs nothing. A folder is either a plugin (it holds `plugin.toml`) or
 * a folder of plugins. Whether a plugin may run is decided before anything of it is loaded.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, PluginLoadError } from "../core/errors.ts";
import type { Verification } from "../core/ports/plugin-packages.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import type { Config } from "../wire/config/schema.ts";
import type { Manifest } from "../wire/manifest.ts";
import type { FolderFiles } from "./folder-files.ts";
import { MAX_MANIFEST_CHARACTERS, parseManifest } from "./manifest.ts";

export interface FoundPlugin {
  readonly folder: string;
  readonly manifest: Manifest;
  /** Absent: a folder, read as it is. */
  readonly installed?: InstalledPackage;
  /** Of a folder that is asked for: what was in it. */
  readonly files?: FolderFiles;
}

export interface InstalledPackage {
  /** SHA-256 of the package, hex. */
  readonly digest: string;
  readonly verification: Verification;
}

export interface Discovery {
  /** By id. */
  readonly plugins: ReadonlyMap<string, FoundPlugin>;
  /** Folders that could not be read, and manifests with errors. */
  readonly problems: ReadonlyArray<{ readonly folder: string; readonly error: Error }>;
}

export const MANIFEST_FILE = "plugin.toml";
/** Most entries of one folder of plugins that are looked at. */
const MAX_FOLDER_ENTRIES = 1000;

/** @param folders  absolute paths; where an id occurs twice the first one counts and the other is a problem */
export async function discoverPlugins(folders: readonly string[]): Promise<Discovery> {
  const plugins = new Map<string, FoundPlugin>();
  const problems: Array<{ readonly folder: string; readonly error: Error }> = [];
  for (const folder of folders) {
    for (const candidate of await candidates(folder, problems)) {
      try {
        const manifest = await readManifest(join(candidate, MANIFEST_FILE));
        const other = plugins.get(manifest.id);
        if (other !== undefined && other.folder !== candidate) {
          throw new PluginLoadError(
            "already_exists",
            `Cannot load plugin "${manifest.id}": "${other.folder}" has the same id`,
          );
        }
        plugins.set(manifest.id, { folder: candidate, manifest });
      } catch (error) {
        problems.push({ folder: candidate, error: toError(error) });
      }
    }
  }
  return { plugins, problems };
}

async function candidates(
  folder: string,
  problems: Array<{ readonly folder: string; readonly error: Error }>,
): Promise<readonly string[]> {
  try {
    if (await isFile(join(folder, MANIFEST_FILE))) return [folder];
    const names = (await readdir(folder)).sort().slice(0, MAX_FOLDER_ENTRIES);
    const paths = names.map(name => join(folder, name));
    const holds = await Promise.all(paths.map(path => isFile(join(path, MANIFEST_FILE))));
    return paths.filter((_, i) => holds[i]);
  } catch (error) {
    const text = `Cannot read plugin folder "${folder}": ${messageOf(error)}`;
    problems.push({ folder, error: new PluginLoadError("plugin_load", text, { cause: error }) });
    return [];
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    // Not there, or not to be looked at: no plugin in either case.
    return false;
  }
}

async function readManifest(path: string): Promise<Manifest> {
  const { size } = await stat(path);
  if (size > MAX_MANIFEST_CHARACTERS * 4)
    throw new PluginLoadError("plugin_load", `Cannot read "${path}": ${size} bytes`);
  return parseManifest(await readFile(path, "utf8"), path);
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/**
 * Is the plugin switched on, by the configuration and by command? What is merely installed is: who names it is told that nobody
 * enabled it.
 * @returns undefined when it may run, else why not
 */
export function offReason(
  id: string,
  plugins: Config["plugins"],
  record: PluginRecord | undefined,
): string | undefined {
  const off = switchedOff(id, plugins);
  if (off !== undefined) return off;
  if (record?.state === "uninstalled") return "it was uninstalled";
  if (record?.state !== "disabled") return undefined;
  return `it was disabled${record.reason === undefined ? "" : `: ${record.reason}`}`;
}

/**
 * Is the plugin switched on at all? `deny` is stronger than `allow`.
 * @returns undefined when it may run, else why not
 */
export function switchedOff(id: string, plugins: Config["plugins"]): string | undefined {
  const { enabled, allow, deny } = plugins;
  if (enabled === false) return "all plugins are switched off (plugins.enabled)";
  if (typeof enabled !== "boolean" && !enabled.includes(id)) return "plugins.enabled does not name it";
  if (deny.includes(id)) return "plugins.deny names it";
  return allow.length > 0 && !allow.includes(id) ? "plugins.allow does not name it" : undefined;
}
