/** What processes hold in memory and what time they took, from /proc (proc(5)). Linux only. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

/** USER_HZ is 100 wherever Node.js runs. */
const MS_PER_TICK = 10;

/** MiB. */
export interface Memory {
  readonly rss: number;
  /** As rss, but what several processes share is divided among them. */
  readonly pss: number;
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return { rss: kib(text, "Rss") / 1024, pss: kib(text, "Pss") / 1024 };
}

/** Sum over several processes; one that ends meanwhile counts nothing. */
export function memoryOfAll(pids: readonly number[]): Memory {
  let rss = 0;
  let pss = 0;
  for (const pid of pids) {
    try {
      const memory = memoryOf(pid);
      rss += memory.rss;
      pss += memory.pss;
    } catch {
      // It ended while we looked.
    }
  }
  return { rss, pss };
}

/** Forget the peak so far. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Largest RSS since the start or {@link resetPeak}, in MiB. */
export function peakOf(pid: number): number {
  return kib(readFileSync(`/proc/${pid}/status`, "utf8"), "VmHWM") / 1024;
}

/** Processor time so far, in ms. */
export function processorMsOf(pid: number): number {
  const fields = statOf(String(pid));
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

export function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

/** The fields of /proc/PID/stat from the state on. */
function statOf(entry: string): readonly string[] {
  const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** All processes below `pid`; the server's session of its own does not hide it. */
export function descendants(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc").filter(name => /^\d+$/u.test(name))) {
    try {
      parents.set(Number(entry), Number(statOf(entry)[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const below = (parent: number): number[] =>
    [...parents].filter(([, p]) => p === parent).flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}

function kib(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "mu").exec(text)?.[1] ?? 0);
}
