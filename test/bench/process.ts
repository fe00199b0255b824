/** P14: the start of the service as a process, embedded PostgreSQL included. */
import { join } from "node:path";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { startSidecar } from "../lib/sidecar.ts";
import { report, spread } from "./lib/rounds.ts";

const ROUNDS = 7;

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
