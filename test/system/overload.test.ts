/** The short form of `npm run overload`, quality R8. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { makeScratch } from "../../src/mailhost/scratch.ts";
import { keptUnderOverload, OVERLOADED, overloadRun } from "../lib/overload-run.ts";
import { startSidecar } from "../lib/sidecar.ts";

const SECONDS = 15;

test("with all connections in use, slow peers and ten times the mail that it can take, every promise is kept", async () => {
  const scratch = await makeScratch();
  const sidecar = await startSidecar({ ...OVERLOADED, dir: join(scratch.dir, "s") });
  try {
    const report = await overloadRun(sidecar, SECONDS);
    assert.deepEqual(keptUnderOverload(report), [], JSON.stringify(report));
    assert.ok(report.accepted > 0);
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
});
