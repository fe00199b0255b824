/** P12 (idle memory) and P14 (start): the service as a process, embedded PostgreSQL included where it says so. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { startSidecar } from "../lib/sidecar.ts";
import { report, spread } from "./lib/rounds.ts";

const ROUNDS = 7;
/** Time for the garbage of the start to settle. */
const SETTLE_MS = 10_000;

export async function benchStart(): Promise<void> {
  const scratch = await makeScratch();
  const sidecar = await startSidecar({ dir: join(scratch.dir, "s"), logLevel: "warn" });
  const first = sidecar.readyMs;
  const times: number[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await sidecar.stop();
      await sidecar.restart();
      times.push(sidecar.readyMs);
    }
    report("P14", {
      unit: "ms",
      existing_database: spread(times),
      first_start_ms: first,
      must: 1500,
      aim: 700,
    });
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
}

export async function benchIdleMemory(): Promise<void> {
  const scratch = await makeScratch();
  const sidecar = await startSidecar({ dir: join(scratch.dir, "s"), logLevel: "warn" });
  try {
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS));
    const service = memory(sidecar.pid);
    const database = descendants(sidecar.pid)
      .map(memory)
      .reduce((sum, m) => ({ rss: sum.rss + m.rss, pss: sum.pss + m.pss }), { rss: 0, pss: 0 });
    report("P12 idle", {
      unit: "MiB",
      service_rss: service.rss,
      service_pss: service.pss,
      embedded_postgres_pss: database.pss,
      must: 150,
      aim: 100,
    });
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
}

interface Memory {
  readonly rss: number;
  readonly pss: number;
}

function memory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "mu").exec(text)?.[1] ?? 0);
  return { rss: kib("Rss") / 1024, pss: kib("Pss") / 1024 };
}

/** All processes below `pid`; the server's session of its own does not hide it. */
function descendants(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc").filter(name => /^\d+$/u.test(name))) {
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(")") + 4).split(" ")[0]));
    } catch {
      // It ended while we looked.
    }
  }
  const below = (parent: number): number[] =>
    [...parents].filter(([, p]) => p === parent).flatMap(([child]) => [child, ...below(child)]);
  return below(pid);
}
