/**
 * kill -9 of an embedded PostgreSQL, all of it or a part: its processes are found by the pid file in its own data folder and by their
 * parent, never by name. Synchronous: a crash probe calls it in the middle of a delivery.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** `cluster`: the postmaster and all of its children; `postmaster`: it alone, its children notice; `backend`: one child. */
export type PostgresPart = "cluster" | "postmaster" | "backend";

/** First line of `postmaster.pid`; undefined when there is none, or its process is no child-bearing server of this folder. */
export function postmasterPid(dataDir: string): number | undefined {
  try {
    const clusterDir = join(dataDir, "postgres");
    const pid = Number(readFileSync(join(clusterDir, "postmaster.pid"), "utf8").split("\n")[0]);
    if (!Number.isInteger(pid) || pid <= 1 || pid === process.pid) return undefined;
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(clusterDir) ? pid : undefined;
  } catch {
    return undefined; // no file, or no such process: there is no server
  }
}

/** @returns how many processes were killed */
export function killPostgres(dataDir: string, part: PostgresPart, pick: () => number = Math.random): number {
  const postmaster = postmasterPid(dataDir);
  if (postmaster === undefined) return 0;
  const children = part === "postmaster" ? [] : childrenOf(postmaster);
  if (part === "backend") return kill(children.slice(Math.floor(pick() * children.length)).slice(0, 1));
  return kill([postmaster, ...children]);
}

function kill(pids: readonly number[]): number {
  let killed = 0;
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
      killed += 1;
    } catch {
      // It ended by itself: that is as good.
    }
  }
  return killed;
}

function childrenOf(parent: number): readonly number[] {
  return readdirSync("/proc")
    .filter(name => /^\d+$/u.test(name))
    .map(Number)
    .filter(pid => parentOf(pid) === parent);
}

/** proc(5): "pid (comm) state ppid …"; the name may hold anything, so count from its last parenthesis. */
function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return undefined; // ended meanwhile
  }
}
