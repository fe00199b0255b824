/** What of this host the tiers are made of: programs, the architecture, and whether we are root. What is missing is told by name. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { hostPaths } from "./host-paths.ts";
import type { LaunchTools } from "./launch-plan.ts";
import { findArchitecture } from "./syscalls.ts";

const FOLDERS = ["/usr/bin", "/bin", "/usr/local/bin"];

export interface HostTools extends LaunchTools {
  readonly isRoot: boolean;
}

/** @returns the tools, or what must be there and is not */
export function findTools(stage: string | undefined): HostTools | { readonly missing: string } {
  const architecture = findArchitecture(process.arch);
  if (process.platform !== "linux" || architecture === undefined)
    return { missing: `a sandbox for ${process.platform} on ${process.arch}` };
  const perl = findTool("perl");
  if (perl === undefined) return { missing: "perl (install perl-base)" };
  return {
    perl,
    architecture,
    stage,
    bwrap: findTool("bwrap"),
    prlimit: findTool("prlimit"),
    paths: hostPaths(),
    isRoot: isRoot(),
  };
}

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

export function findTool(name: string): string | undefined {
  return FOLDERS.map(folder => `${folder}/${name}`).find(path => existsSync(path));
}

export interface NamedUser {
  readonly uid: number;
  readonly gid: number;
}

/** @returns undefined: there is none of this name in `/etc/passwd` */
export function findUser(name: string): NamedUser | undefined {
  try {
    const line = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .find(one => one.startsWith(`${name}:`));
    const [, , uid, gid] = line?.split(":") ?? [];
    return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
  } catch {
    return undefined;
  }
}

/** Threads of a user, as RLIMIT_NPROC counts them. */
export function countThreads(uid: number): number {
  let threads = 0;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/u.test(entry)) continue;
    try {
      const status = readFileSync(`/proc/${entry}/status`, "latin1");
      if (Number(/^Uid:\t(\d+)/mu.exec(status)?.[1]) !== uid) continue;
      threads += Number(/^Threads:\t(\d+)/mu.exec(status)?.[1] ?? 1);
    } catch {
      // It ended.
    }
  }
  return threads;
}
