/**
 * Overload: `npm run overload -- [--seconds 300] [lmtp] [imap]`; both when none is named. Prints a report of each as JSON; exit code 1 when
 * a promise was not kept.
 */
import { parseArgs } from "node:util";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { imapOverloadRun, keptByImap } from "../lib/imap-overload.ts";
import { startCrowdedSidecar } from "../lib/imap-overload-site.ts";
import { keptUnderOverload, OVERLOADED, overloadRun } from "../lib/overload-run.ts";
import { startSidecar } from "../lib/sidecar.ts";

/** Quality R8. */
const RECOVERY_MS = 10_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "300" } },
});
const seconds = Number(values.seconds);
const isWanted = (name: string) => positionals.length === 0 || positionals.includes(name);
if (isWanted("lmtp")) await byLmtp();
if (isWanted("imap")) await byImap();

async function byLmtp(): Promise<void> {
  const scratch = await makeScratch();
  const sidecar = await startSidecar({ ...OVERLOADED, dir: `${scratch.dir}/s` });
  try {
    const report = await overloadRun(sidecar, seconds);
    const isLate = (report.recoveryMs ?? Number.POSITIVE_INFINITY) > RECOVERY_MS;
    told("lmtp", keptUnderOverload(report), isLate, report);
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
}

async function byImap(): Promise<void> {
  const scratch = await makeScratch();
  const { sidecar, ports } = await startCrowdedSidecar(scratch.dir);
  try {
    const report = await imapOverloadRun(sidecar, ports, seconds);
    told("imap", keptByImap(report), false, report);
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
}

function told(by: string, broken: readonly string[], isLate: boolean, report: object): void {
  process.stdout.write(`${JSON.stringify({ by, broken, isLate, ...report }, undefined, 2)}\n`);
  if (broken.length > 0 || isLate) process.exitCode = 1;
}
