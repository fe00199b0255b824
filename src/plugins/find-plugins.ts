/**
 * All plugins that there are: installed packages, then development folders, then the samples of this package as far as somebody asks
 * for them. What is switched off by the configuration is not looked at. A folder's plugin that runs is taken as it was loaded, until
 * somebody asks for its files to be read again and they are others.
 */
import { PluginError, PluginLoadError } from "../core/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { PluginRecord } from "../core/ports/plugin-registry.ts";
import type { Config } from "../wire/config/schema.ts";
import { discoverPlugins, type FoundPlugin, switchedOff } from "./discovery.ts";
import { isUnchanged, readFolderFiles } from "./folder-files.ts";
import type { InstalledPlugins } from "./installed.ts";

export interface FindOptions {
  readonly config: { readonly plugins: Config["plugins"] };
  readonly extraFolders?: readonly string[];
  readonly records: ReadonlyMap<string, PluginRecord>;
  /** Absent: nothing can be installed. */
  readonly installed?: Pick<InstalledPlugins, "find"> | undefined;
  /** Folder of the samples. */
  readonly samples?: string | undefined;
  /** Named by hooks, granted something, or enabled. */
  readonly asked: ReadonlySet<string>;
  /** Plugins that run, as they were loaded. */
  readonly running?: RunningPlugins | undefined;
  readonly log: Log;
}

export interface RunningPlugins {
  /** Undefined: it does not run. */
  find(id: string): FoundPlugin | undefined;
  /** Are its files to be read again? */
  rereads(id: string): boolean;
}

export interface Found {
  readonly plugins: ReadonlyMap<string, FoundPlugin>;
  /** Why an installed package cannot be used, by id. */
  readonly broken: ReadonlyMap<string, PluginError>;
}

export async function findPlugins(options: FindOptions): Promise<Found> {
  const { config, records, log, asked } = options;
  const plugins = new Map<string, FoundPlugin>();
  const broken = new Map<string, PluginError>();
  for (const record of records.values()) {
    if (record.version === undefined || record.state === "uninstalled") continue;
    if (switchedOff(record.id, config.plugins) !== undefined) continue;
    try {
      plugins.set(record.id, await findInstalled(record, record.version, options.installed));
    } catch (error) {
      if (!(error instanceof PluginError)) throw error;
      broken.set(record.id, error);
    }
  }
  const isOpen = (id: string) => !plugins.has(id) && !broken.has(id);
  const inFolders = await discoverPlugins([...config.plugins.folders, ...(options.extraFolders ?? [])]);
  for (const { folder, error } of inFolders.problems)
    log.error("plugin_unreadable", { folder, error: error.message });
  for (const [id, found] of inFolders.plugins) {
    if (isOpen(id)) plugins.set(id, found);
    else
      log.warn("plugin_folder_unused", {
        plugin: id,
        folder: found.folder,
        reason: "a package of this id is installed",
      });
  }
  const { samples } = options;
  if (samples !== undefined && [...asked].some(isOpen)) {
    const shipped = await discoverPlugins([samples]);
    for (const [id, found] of shipped.plugins) if (asked.has(id) && isOpen(id)) plugins.set(id, found);
  }
  for (const id of asked) if (isOpen(id) || plugins.has(id)) await readFiles(id, plugins, options);
  return { plugins, broken };
}

async function findInstalled(
  record: PluginRecord,
  version: string,
  installed: FindOptions["installed"],
): Promise<FoundPlugin> {
  if (installed !== undefined) return installed.find(record, version);
  throw new PluginLoadError(
    "plugin_load",
    `Cannot load plugin "${record.id}" ${version}: nothing can be installed here`,
  );
}

/** Of folders that are asked for. */
async function readFiles(id: string, plugins: Map<string, FoundPlugin>, options: FindOptions): Promise<void> {
  const found = plugins.get(id);
  if (found?.installed !== undefined) return;
  const running = options.running?.find(id);
  if (running !== undefined && running.installed === undefined) {
    if (options.running?.rereads(id) === false) {
      plugins.set(id, running);
      return;
    }
    const isSame = found?.folder === running.folder && running.files !== undefined;
    if (isSame && (await isUnchanged(running.folder, running.files ?? new Map()))) {
      plugins.set(id, running);
      return;
    }
  }
  if (found !== undefined) plugins.set(id, { ...found, files: await readFolderFiles(found.folder) });
}
