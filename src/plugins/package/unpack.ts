/**
 * Writes a package that was read and verified into a folder of its own, from the same memory. Nothing of it is at its place before all of
 * it is on disk: it is written beside, where nobody else may look, and renamed. Whoever runs the plugin may read it and nobody may
 * write it: folders 0755, files 0644, what its command names 0755.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { MairustError, messageOf, PluginLoadError } from "../../core/errors.ts";
import type { PluginPackage } from "../../core/ports/plugin-packages.ts";
import { commandFiles } from "./write.ts";

/** In front of the name while a folder is not complete. */
const UNFINISHED = ".unpack-";
export const FOLDER_MODE = 0o755;
export const FILE_MODE = 0o644;
export const COMMAND_MODE = 0o755;

/**
 * @param folder  absolute; its parent is made when it is missing
 * @throws {MairustError} `already_exists`: there is something at that place; `disk_full`; `plugin_load` for the rest
 */
export async function unpackPackage(plugin: PluginPackage, folder: string): Promise<void> {
  const parent = dirname(folder);
  const beside = join(parent, `${UNFINISHED}${basename(folder)}-${randomBytes(6).toString("hex")}`);
  try {
    await mkdir(parent, { recursive: true, mode: FOLDER_MODE });
    if (await isThere(folder)) throw occupied(folder);
    await mkdir(beside, { mode: 0o700 });
    const folders = foldersOf(plugin.files.keys());
    for (const path of folders) await mkdir(join(beside, path), { mode: 0o700 });
    const commands = new Set(commandFiles(plugin.manifest, plugin.files));
    for (const [path, bytes] of plugin.files)
      await writeNew(join(beside, path), bytes, commands.has(path) ? COMMAND_MODE : FILE_MODE);
    // The innermost first, so that the outermost opens when all is there.
    for (const path of [...folders].reverse()) await finish(join(beside, path));
    await finish(beside);
    await rename(beside, folder);
    await syncFolder(parent);
  } catch (error) {
    await rm(beside, { recursive: true, force: true }).catch(() => undefined);
    throw explained(error, plugin.manifest.id, folder);
  }
}

/** What a process that was killed left behind. @param parent  where packages are unpacked; only one process may do that */
export async function removeUnfinished(parent: string): Promise<void> {
  const names = await readdir(parent).catch(() => []);
  for (const name of names)
    if (name.startsWith(UNFINISHED)) await rm(join(parent, name), { recursive: true, force: true });
}

/** Outer ones first. */
function foldersOf(paths: Iterable<string>): readonly string[] {
  const folders = new Set<string>();
  for (const path of paths)
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1))
      folders.add(path.slice(0, slash));
  return [...folders].sort();
}

async function writeNew(file: string, bytes: Uint8Array, mode: number): Promise<void> {
  const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
  const handle = await open(file, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY, 0o600);
  try {
    await handle.writeFile(bytes);
    // The process's umask has no say.
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function finish(folder: string): Promise<void> {
  await chmod(folder, FOLDER_MODE);
  await syncFolder(folder);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

function occupied(folder: string): MairustError {
  return new PluginLoadError("already_exists", `Cannot unpack into "${folder}": it is there already`);
}

function explained(error: unknown, id: string, folder: string): MairustError {
  if (error instanceof MairustError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR") return occupied(folder);
  const kind = code === "ENOSPC" || code === "EDQUOT" ? "disk_full" : "plugin_load";
  return new PluginLoadError(kind, `Cannot unpack plugin "${id}" into "${folder}": ${messageOf(error)}`, {
    cause: error,
  });
}
