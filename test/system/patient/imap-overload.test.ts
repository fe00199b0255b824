/** The short form of the part of `npm run overload` that comes by IMAP, quality R8. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { imapOverloadRun, keptByImap } from "../../lib/imap-overload.ts";
import { startCrowdedSidecar } from "../../lib/imap-overload-site.ts";

const SECONDS = 10;

test("with strangers, half handshakes and readers that do not read, Dovecot, clients and mail get in, and memory is bounded", async () => {
  const scratch = await makeScratch();
  const { sidecar, ports } = await startCrowdedSidecar(scratch.dir);
  try {
    const report = await imapOverloadRun(sidecar, ports, SECONDS);
    assert.deepEqual(keptByImap(report), [], JSON.stringify(report));
  } finally {
    await sidecar.stop();
    await scratch.remove();
  }
});
