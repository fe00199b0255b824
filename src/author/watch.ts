/**
 * Tells that files of a folder changed, by looking at them often: works on every file system, containers' and network ones too, where
 * notifications do not. What is made by tools is not looked at.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "../platform/deadline.ts";

const LOOK_EVERY_MS = 150;
/** Most files that are looked at. */
const MAX_FILES = 5000;
const MAX_DEPTH = 8;
const IGNORED: ReadonlySet<string> = new Set([
  ".git",
  "node_modules",
  "__pycache__",
  ".venv",
  "venv",
  "build",
  "dist",
  "target",
]);

/** Path → what tells a change: time, size, inode. */
export type Snapshot = ReadonlyMap<string, string>;

export async function snapshotOf(folder: string): Promise<Snapshot> {
  const found = new Map<string, string>();
  await look(folder, "", 0, found);
  return found;
}

async function look(root: string, below: string, depth: number, found: Map<string, string>): Promise<void> {
  // A folder that is gone, or is being written: the next look tells.
  const entries = await readdir(join(root, below), { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    if (found.size >= MAX_FILES || IGNORED.has(entry.name) || /~$|^\.#|\.sw[a-p]$|\.new$/u.test(entry.name))
      continue;
    const path = join(below, entry.name);
    if (entry.isDirectory()) {
      if (depth < MAX_DEPTH) await look(root, path, depth + 1, found);
      continue;
    }
    const facts = await stat(join(root, path)).catch(() => undefined);
    if (facts?.isFile() === true) found.set(path, `${facts.mtimeMs} ${facts.size} ${facts.ino}`);
  }
}

export function changedFiles(before: Snapshot, after: Snapshot): readonly string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter(path => before.get(path) !== after.get(path)).sort();
}

/** Wait for a change. @returns what changed, and how things are now. @throws the signal's reason */
export async function nextChange(
  folder: string,
  before: Snapshot,
  signal: AbortSignal,
): Promise<{ readonly files: readonly string[]; readonly now: Snapshot }> {
  for (;;) {
    await sleep(LOOK_EVERY_MS, signal);
    const now = await snapshotOf(folder);
    const files = changedFiles(before, now);
    if (files.length > 0) return { files, now };
  }
}
