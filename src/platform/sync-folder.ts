/** Makes names durable: a file that was made, renamed or removed is so after a power loss once its folder is synced. */
import { closeSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";

/** Names of files in the folder of `path` are on disk when this returns. */
export function syncFolder(path: string): void {
  const folder = openSync(dirname(path), "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
