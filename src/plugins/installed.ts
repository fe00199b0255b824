/**
 * Installed packages on this node: `<plugins.dir>/<id>/<version>/`, unpacked from the database's copy where they are missing, and
 * compared with it. The database is what counts: a folder that differs from it was modified, and does not run.
 *
 * Left-overs of a crash, and versions that no record names any more, go with `clean`.
 */
import { randomUUID } from "node:crypto";
import { lstat, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type PluginError, PluginLoadError } from "../core/errors.ts";
import type { PluginTrust } from "../core/ports/plugin-keys.ts";
import type { PluginPackage, Verification } from "../core/ports/plugin-packages.ts";
import type { PluginRecord, PluginRegistry } from "../core/ports/plugin-registry.ts";
import { PLUGIN_ID_PATTERN, SEMVER_PATTERN } from "../wire/manifest.ts";
import type { FoundPlugin } from "./discovery.ts";
import { installedOf, verifyFolder } from "./package/installed.ts";
import { readPackage } from "./package/read.ts";
import { removeUnfinished, unpackPackage } from "./package/unpack.ts";

export interface InstalledOptions {
  /** `plugins.dir`. */
  readonly dir: () => string;
  readonly registry: Pick<PluginRegistry, "package">;
  /** Keys and revocations as they are now. */
  readonly trust: () => Promise<PluginTrust>;
}

/** On its way out; no plugin's id begins so. */
const GONE = ".gone-";
/** Nothing else in the folder is ours. */
const PLUGIN_ID = new RegExp(PLUGIN_ID_PATTERN, "u");
const VERSION = new RegExp(SEMVER_PATTERN, "u");

type Named = Pick<PluginRecord, "id" | "developerKey">;

export class InstalledPlugins {
  readonly #options: InstalledOptions;
  /** What was found good or bad last, by id and version. */
  readonly #known = new Map<string, FoundPlugin>();
  /** Digest of what this process found or wrote in a folder, by id and version: another package may take the same place. */
  readonly #digests = new Map<string, string>();

  constructor(options: InstalledOptions) {
    this.#options = options;
  }

  folderOf(id: string, version: string): string {
    return join(this.#options.dir(), id, version);
  }

  /**
   * As it was verified last; the first time it is verified, and unpacked when it is not here.
   * @throws {PluginError} `plugin_load`: there is no such package; `plugin_validation`, `plugin_security`: this version does not read it
   * @throws {MairustError} `store_unavailable`, `disk_full`
   */
  async find(record: Named, version: string): Promise<FoundPlugin> {
    return this.#known.get(keyOf(record.id, version)) ?? (await this.verify(record, version));
  }

  /** Look at all of it again. @throws as {@link find} */
  async verify({ id, developerKey }: Named, version: string): Promise<FoundPlugin> {
    const given = await this.#stored(id, version);
    const folder = this.folderOf(id, version);
    const before = this.#digests.get(keyOf(id, version));
    if (before !== undefined && before !== given.digest) await this.#discard(folder);
    if (!(await isThere(folder))) await unpackPackage(given, folder);
    return this.#keep(
      given,
      await verifyFolder(folder, installedOf(given), await this.#options.trust(), developerKey),
    );
  }

  /** Write it in place of whatever is there. @throws {MairustError} `plugin_load`, `disk_full` */
  async add(given: PluginPackage, verification: Verification): Promise<FoundPlugin> {
    const { id, version } = given.manifest;
    const folder = this.folderOf(id, version);
    await this.#discard(folder);
    await unpackPackage(given, folder);
    return this.#keep(given, verification);
  }

  /** Take one version from this node. */
  async remove(id: string, version: string): Promise<void> {
    this.#known.delete(keyOf(id, version));
    this.#digests.delete(keyOf(id, version));
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
      if (id.startsWith(GONE)) {
        await rm(join(dir, id), { recursive: true, force: true });
        continue;
      }
      if (!PLUGIN_ID.test(id)) continue;
      await removeUnfinished(join(dir, id));
      for (const version of await namesIn(join(dir, id))) {
        if (!VERSION.test(version) || named.has(keyOf(id, version))) continue;
        await this.remove(id, version);
        gone.push(join(id, version));
      }
      await rmdir(join(dir, id)).catch(() => undefined);
    }
    return gone;
  }

  async #stored(id: string, version: string): Promise<PluginPackage> {
    const bytes = await this.#options.registry.package(id, version);
    if (bytes === undefined) throw cannot(id, version, "its package is not in the database");
    const given = await readPackage(bytes);
    const { manifest } = given;
    if (manifest.id !== id || manifest.version !== version)
      throw cannot(id, version, `the package in its place is "${manifest.id}" ${manifest.version}`);
    return given;
  }

  /** Gone at once as far as anybody can see. */
  async #discard(folder: string): Promise<void> {
    const aside = join(this.#options.dir(), `${GONE}${randomUUID()}`);
    try {
      await rename(folder, aside);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
      throw error;
    }
    await rm(aside, { recursive: true, force: true });
  }

  #keep({ manifest, digest }: PluginPackage, verification: Verification): FoundPlugin {
    const { id, version } = manifest;
    const found = { folder: this.folderOf(id, version), manifest, installed: { digest, verification } };
    this.#known.set(keyOf(id, version), found);
    this.#digests.set(keyOf(id, version), digest);
    return found;
  }
}

/** Every version that a record keeps. */
export function versionsOf({
  version,
  pending,
  previous,
}: Pick<PluginRecord, "version" | "pending" | "previous">): readonly string[] {
  return [version, pending, ...previous].flatMap(one => (one === undefined ? [] : [one]));
}

const keyOf = (id: string, version: string): string => `${id}/${version}`;

function cannot(id: string, version: string, why: string): PluginError {
  return new PluginLoadError("plugin_load", `Cannot load plugin "${id}" ${version}: ${why}`, {
    context: { why, plugin: id },
    publicText: why,
  });
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch {
    // What cannot be looked at is found out when it is verified.
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
