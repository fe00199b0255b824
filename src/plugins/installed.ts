/**
 * Installed packages on this node: `<plugins.dir>/<id>/<version>/`, unpacked from the database's copy where they are missing, and
 * compared with it. The database is what counts: a folder that differs from it was modified, and does not run.
 *
 * A package is written into a folder of its own and renamed when all of it is on the disk, so that a crash leaves a whole version or
 * none. Left-overs of a crash, and versions that no record names any more, go with `clean`.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { messageOf, type PluginError, PluginLoadError, PluginSecurityError } from "../core/errors.ts";
import type { PackageTools, PluginPackage, Verification } from "../core/ports/plugin-packages.ts";
import type { PluginRecord, PluginRegistry } from "../core/ports/plugin-registry.ts";
import { PLUGIN_ID_PATTERN, SEMVER_PATTERN } from "../wire/manifest.ts";
import type { FoundPlugin } from "./discovery.ts";

export interface InstalledOptions {
  /** `plugins.dir`. */
  readonly dir: () => string;
  readonly registry: Pick<PluginRegistry, "package">;
  readonly tools: PackageTools;
}

/** Being written; no plugin's id begins so. */
const NEW = ".new-";
/** On its way out. */
const GONE = ".gone-";
/** Nothing else in the folder is ours. */
const PLUGIN_ID = new RegExp(PLUGIN_ID_PATTERN, "u");
const VERSION = new RegExp(SEMVER_PATTERN, "u");
/** What Python leaves beside its code. */
const CACHE = "__pycache__";

export class InstalledPlugins {
  readonly #options: InstalledOptions;
  /** What was found good or bad last, by id and version. */
  readonly #known = new Map<string, FoundPlugin>();

  constructor(options: InstalledOptions) {
    this.#options = options;
  }

  folderOf(id: string, version: string): string {
    return join(this.#options.dir(), id, version);
  }

  /**
   * As it was verified last; the first time it is verified, and unpacked when it is not here.
   * @throws {PluginError} `plugin_load`: there is no such package; `plugin_validation`, `plugin_security`: this version does not read it
   * @throws {MairustError} `store_unavailable`
   */
  async find(id: string, version: string): Promise<FoundPlugin> {
    return this.#known.get(keyOf(id, version)) ?? (await this.verify(id, version));
  }

  /** Look at all of it again. @throws as {@link find} */
  async verify(id: string, version: string): Promise<FoundPlugin> {
    const given = await this.#stored(id, version);
    const verification = await this.#options.tools.verify(given);
    const folder = this.folderOf(id, version);
    if (!(await isFolder(folder))) await this.#unpack(given);
    const difference = await findDifference(folder, given.files);
    const modified: Verification = { ...verification, state: "modified", detail: difference ?? "" };
    return this.#keep(given, difference === undefined ? verification : modified);
  }

  /** Write it in place of whatever is there. @throws {PluginError} `plugin_load` */
  async add(given: PluginPackage, verification: Verification): Promise<FoundPlugin> {
    await this.#unpack(given);
    return this.#keep(given, verification);
  }

  /** Take one version from this node. */
  async remove(id: string, version: string): Promise<void> {
    this.forget(id);
    await this.#discard(this.folderOf(id, version));
    // Only when it is empty.
    await rmdir(dirname(this.folderOf(id, version))).catch(() => undefined);
  }

  /** Its record changed. */
  forget(id: string): void {
    for (const key of [...this.#known.keys()]) if (key.startsWith(keyOf(id, ""))) this.#known.delete(key);
  }

  /** What a crash left, and versions that no record names. @returns what went, as paths below `plugins.dir` */
  async clean(records: readonly PluginRecord[]): Promise<readonly string[]> {
    const dir = this.#options.dir();
    const named = new Set(records.flatMap(record => versionsOf(record).map(one => keyOf(record.id, one))));
    const gone: string[] = [];
    for (const id of await namesIn(dir)) {
      if (id.startsWith(NEW) || id.startsWith(GONE)) {
        await rm(join(dir, id), { recursive: true, force: true });
        gone.push(id);
        continue;
      }
      for (const version of PLUGIN_ID.test(id) ? await namesIn(join(dir, id)) : []) {
        if (!VERSION.test(version) || named.has(keyOf(id, version))) continue;
        await this.remove(id, version);
        gone.push(join(id, version));
      }
    }
    return gone;
  }

  async #stored(id: string, version: string): Promise<PluginPackage> {
    const bytes = await this.#options.registry.package(id, version);
    if (bytes === undefined) throw cannot(id, version, "its package is not in the database");
    const given = await this.#options.tools.read(bytes);
    const { manifest } = given;
    if (manifest.id !== id || manifest.version !== version)
      throw cannot(id, version, `the package in its place is "${manifest.id}" ${manifest.version}`);
    return given;
  }

  async #unpack({ manifest: { id, version }, files }: PluginPackage): Promise<void> {
    const dir = this.#options.dir();
    const fresh = join(dir, `${NEW}${randomUUID()}`);
    const folder = this.folderOf(id, version);
    try {
      await writeFiles(fresh, files);
      await mkdir(dirname(folder), { recursive: true });
      await this.#discard(folder);
      await rename(fresh, folder);
      await syncFolder(dirname(folder));
    } catch (error) {
      await rm(fresh, { recursive: true, force: true }).catch(() => undefined);
      throw cannot(id, version, `it cannot be written to "${dir}": ${messageOf(error)}`, error);
    }
  }

  /** Gone at once as far as anybody can see. */
  async #discard(folder: string): Promise<void> {
    const aside = join(this.#options.dir(), `${GONE}${randomUUID()}`);
    try {
      await rename(folder, aside);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return;
      throw error;
    }
    await rm(aside, { recursive: true, force: true });
  }

  #keep({ manifest, digest }: PluginPackage, verification: Verification): FoundPlugin {
    const { id, version } = manifest;
    const found = { folder: this.folderOf(id, version), manifest, installed: { digest, verification } };
    this.#known.set(keyOf(id, version), found);
    return found;
  }
}

/** Every version that a record keeps. */
export function versionsOf({ version, pending, previous }: PluginRecord): readonly string[] {
  return [version, pending, ...previous].flatMap(one => (one === undefined ? [] : [one]));
}

const keyOf = (id: string, version: string): string => `${id}/${version}`;

function cannot(id: string, version: string, why: string, cause?: unknown): PluginError {
  return new PluginLoadError("plugin_load", `Cannot load plugin "${id}" ${version}: ${why}`, {
    context: { why, plugin: id },
    publicText: why,
    ...(cause === undefined ? {} : { cause }),
  });
}

async function writeFiles(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const folders = new Set([folder]);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  for (const [path, bytes] of files) {
    const target = join(folder, path);
    // The reader has refused such names; this is the last place where one could do harm.
    if (relative(folder, target).startsWith("..") || relative(folder, target) === "")
      throw new PluginSecurityError("plugin_security", `Cannot write "${path}": it is outside the package`);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    for (let at = dirname(target); !folders.has(at); at = dirname(at)) folders.add(at);
    const runs = bytes[0] === 0x23 && bytes[1] === 0x21;
    const file = await open(target, "wx", runs ? 0o755 : 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  }
  for (const one of folders) await syncFolder(one);
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** @returns what is not as in the package; undefined: nothing */
async function findDifference(
  folder: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<string | undefined> {
  const there = await filesBelow(folder, "");
  const foreign = there.find(path => !files.has(path));
  if (foreign !== undefined) return `the file "${foreign}" is not of the package`;
  const found = new Set(there);
  for (const [path, bytes] of files) {
    if (!found.has(path)) return `the file "${path}" is missing`;
    if (!(await holds(join(folder, path), bytes))) return `the file "${path}" was changed`;
  }
  return undefined;
}

async function holds(path: string, bytes: Uint8Array): Promise<boolean> {
  const { size } = await stat(path);
  return size === bytes.byteLength && (await readFile(path)).equals(bytes);
}

/** Links count as files that are not of the package. */
async function filesBelow(folder: string, below: string): Promise<readonly string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true });
  const paths: string[] = [];
  for (const entry of entries) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      if (entry.name !== CACHE) paths.push(...(await filesBelow(folder, path)));
    } else paths.push(entry.isFile() ? path : `${path} (no plain file)`);
  }
  return paths;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder, { withFileTypes: true }))
      .filter(one => one.isDirectory())
      .map(one => one.name);
  } catch {
    // Nothing was ever installed here, or it is no folder.
    return [];
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}
