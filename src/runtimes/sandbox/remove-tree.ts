/**
 * Takes a folder of a plugin away, whatever the plugin did to it: where its processes have our user, it may have taken the rights to its
 * own folders from us, and they are ours to take back.
 */
import { chmodSync, opendirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Never throws: what stays is found by the next service that starts. @param path  of a plugin whose processes are gone */
export function removeTree(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
    return;
  } catch {
    openFolders(path);
  }
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Not ours, or the file system does not let go of it.
  }
}

function openFolders(path: string): void {
  const folders = [path];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    try {
      chmodSync(next, 0o700);
      const opened = opendirSync(next);
      try {
        for (let entry = opened.readSync(); entry !== null; entry = opened.readSync())
          if (entry.isDirectory()) folders.push(join(next, entry.name));
      } finally {
        opened.closeSync();
      }
    } catch {
      // Its removal tells.
    }
  }
}
