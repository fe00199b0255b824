/**
 * What a service that was killed could not take away: its folder and its groups of the kernel's accounts. Both bear the number of its
 * process, so that the next one finds those of the dead and leaves those of the living alone.
 */
import { lstatSync, mkdtempSync, opendirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { removeTree } from "./remove-tree.ts";

const FOLDER = "mairust-sandbox-";
const GROUP = "mairust-";
/** Of a folder that everybody writes to. */
const MAX_ENTRIES = 10_000;

/** Of the groups of this process. */
export function groupName(): string {
  return `${GROUP}${process.pid}`;
}

/** A new folder of this process. Those that dead ones left are gone afterwards. */
export function makeFolder(): string {
  const root = tmpdir();
  // A number means something in its own namespace alone.
  const prefix = `${FOLDER}${pidNamespace()}-`;
  for (const name of ofTheDead(root, prefix)) {
    const path = join(root, name);
    if (isOurs(path)) removeTree(path);
  }
  return mkdtempSync(join(root, `${prefix}${process.pid}-`));
}

/** @returns names in `parent` of groups that dead processes left */
export function deadGroups(parent: string): readonly string[] {
  return ofTheDead(parent, GROUP);
}

function ofTheDead(parent: string, prefix: string): readonly string[] {
  const names: string[] = [];
  try {
    const folder = opendirSync(parent);
    try {
      for (let seen = 0; seen < MAX_ENTRIES; seen++) {
        const entry = folder.readSync();
        if (entry === null) break;
        const digits = /^(\d+)(?:-\w+)?$/u.exec(
          entry.name.startsWith(prefix) ? entry.name.slice(prefix.length) : "",
        );
        if (digits !== null && isDead(Number(digits[1]))) names.push(entry.name);
      }
    } finally {
      folder.closeSync();
    }
  } catch {
    // Not to be read: then it is left as it is.
  }
  return names;
}

function isDead(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}

/** Anybody may make a folder of this name where the system keeps temporary files. */
export function isOurs(path: string): boolean {
  try {
    const found = lstatSync(path);
    return found.isDirectory() && found.uid === process.getuid?.();
  } catch {
    return false;
  }
}

function pidNamespace(): string {
  try {
    return /\d+/u.exec(readlinkSync("/proc/self/ns/pid"))?.[0] ?? "0";
  } catch {
    return "0";
  }
}
