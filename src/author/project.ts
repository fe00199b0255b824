/** A plugin's folder as its author works on it: its manifest read, with every problem at once. Runs nothing. */
import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { messageOf, PluginLoadError, PluginValidationError } from "../core/errors.ts";
import { type FoundPlugin, MANIFEST_FILE } from "../plugins/discovery.ts";
import { MAX_MANIFEST_CHARACTERS, parseManifest } from "../plugins/manifest.ts";

/** Where a manifest is, and how errors name it. */
export interface ManifestPlace {
  /** Absolute. */
  readonly folder: string;
  /** As errors show it. */
  readonly shown: string;
  readonly file: string;
}

/** @param path  a folder with a plugin.toml, or a manifest. @throws {MairustError} `plugin_load`: there is none */
export async function findManifest(path: string): Promise<ManifestPlace> {
  const found = await stat(path).catch(() => undefined);
  const isFolder = found?.isDirectory() === true;
  const file = isFolder ? join(path, MANIFEST_FILE) : path;
  const here = isFolder ? await stat(file).catch(() => undefined) : found;
  if (here?.isFile() === true) return { folder: resolve(dirname(file)), shown: file, file: resolve(file) };
  const hint =
    found === undefined ? "there is no such file or folder" : `the folder holds no ${basename(file)}`;
  throw new PluginLoadError("plugin_load", `Cannot find a plugin at "${path}": ${hint}`);
}

/** @throws {MairustError} `plugin_load`; {@link ManifestError} with every problem */
export async function readProject(path: string): Promise<FoundPlugin> {
  const place = await findManifest(path);
  return { folder: place.folder, manifest: await parseManifest(await readManifestText(place), place.shown) };
}

export async function readManifestText({ file, shown }: ManifestPlace): Promise<string> {
  const { size } = await stat(file);
  if (size > MAX_MANIFEST_CHARACTERS * 4)
    throw new PluginValidationError(
      "plugin_validation",
      `Cannot read "${shown}": ${size} bytes, at most ${MAX_MANIFEST_CHARACTERS * 4}`,
    );
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new PluginLoadError("plugin_load", `Cannot read "${shown}": ${messageOf(error)}`, { cause: error });
  }
}
