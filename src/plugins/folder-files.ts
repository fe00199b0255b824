/**
 * The files of a plugin's folder as they were when it was loaded: whether its code is what runs. New files do not count, because a
 * plugin may write beside its code, and a new file is of no use to code that does not name it.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

export interface FolderFile {
  readonly sizeBytes: number;
  readonly changedMs: number;
  /** SHA-256, hex. */
  readonly digest: string;
}

/** By path below the folder. */
export type FolderFiles = ReadonlyMap<string, FolderFile>;

/** Files beyond these are not looked at. */
const MAX_FILES = 500;
const MAX_DEPTH = 8;
/** A larger file counts by size and time. */
const MAX_READ_BYTES = 8_388_608;
/** What tools make. */
const SKIPPED = new Set(["node_modules", "__pycache__", "target"]);

/** Never rejects: what cannot be read is not there. */
export async function readFolderFiles(folder: string): Promise<FolderFiles> {
  const files = new Map<string, FolderFile>();
  for (const path of await pathsBelow(folder)) {
    const file = await readOne(join(folder, path));
    if (file !== undefined) files.set(path, file);
  }
  return files;
}

/** All files that were there are there, with the same bytes. */
export async function isUnchanged(folder: string, files: FolderFiles): Promise<boolean> {
  for (const [path, known] of files) {
    const now = await statOf(join(folder, path));
    if (now === undefined) return false;
    if (now.sizeBytes === known.sizeBytes && now.changedMs === known.changedMs) continue;
    if ((await readOne(join(folder, path)))?.digest !== known.digest) return false;
  }
  return true;
}

/** Of all bytes and names. */
export function folderDigest(files: FolderFiles): string {
  const hash = createHash("sha256");
  for (const [path, { digest }] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${path}\0${digest}\n`);
  return hash.digest("hex");
}

async function pathsBelow(folder: string): Promise<readonly string[]> {
  const paths: string[] = [];
  const walk = async (below: string, depth: number): Promise<void> => {
    const entries = await readdir(join(folder, below), { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (entry.name.startsWith(".") || SKIPPED.has(entry.name) || paths.length >= MAX_FILES) continue;
      const path = join(below, entry.name);
      if (entry.isDirectory()) {
        if (depth < MAX_DEPTH) await walk(path, depth + 1);
      } else paths.push(path);
    }
  };
  await walk("", 1);
  return paths;
}

async function statOf(path: string): Promise<Omit<FolderFile, "digest"> | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? { sizeBytes: found.size, changedMs: found.mtimeMs } : undefined;
  } catch {
    return undefined;
  }
}

async function readOne(path: string): Promise<FolderFile | undefined> {
  const found = await statOf(path);
  if (found === undefined) return undefined;
  try {
    const hash = createHash("sha256");
    if (found.sizeBytes <= MAX_READ_BYTES) hash.update(await readFile(path));
    else hash.update(`${found.sizeBytes} ${found.changedMs}`);
    return { ...found, digest: hash.digest("hex") };
  } catch {
    return undefined;
  }
}
