/** Overload: `npm run overload -- [--seconds 300]`. Prints the report as JSON; exit code 1 when a promise was not kept. */
import { parseArgs } from "node:util";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { keptUnderOverload, OVERLOADED, overloadRun } from "../lib/overload-run.ts";
import { startSidecar } from "../lib/sidecar.ts";

/** Quality R8. */
const RECOVERY_MS = 10_000;

const { values } = parseArgs({ options: { seconds: { type: "string", default: "300" } } });
const scratch = await makeScratch();
const sidecar = await startSidecar({ ...OVERLOADED, dir: `${scratch.dir}/s` });
try {
  const report = await overloadRun(sidecar, Number(values.seconds));
  const broken = keptUnderOverload(report);
  const isLate = (report.recoveryMs ?? Number.POSITIVE_INFINITY) > RECOVERY_MS;
  process.stdout.write(`${JSON.stringify({ broken, isLate, ...report }, undefined, 2)}\n`);
  process.exitCode = broken.length === 0 && !isLate ? 0 : 1;
} finally {
  await sidecar.stop();
  await scratch.remove();
}
