/** What ingest rows compare: our service and a private Dovecot (LMTP → maildir, its default fsync), each in a folder of its own. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Dovecot, startDovecot } from "../../../src/mailhost/dovecot.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { type Sidecar, startSidecar } from "../../lib/sidecar.ts";

export const ACCOUNTS = 50;
export const DOMAIN = "example.test";
const START_MS = 60_000;

export const address = (i: number) => `user${i % ACCOUNTS}@${DOMAIN}`;

export interface Targets {
  readonly sidecar: Sidecar;
  readonly dovecot: Dovecot;
  readonly dir: string;
  stop(): Promise<void>;
}

export async function startTargets(): Promise<Targets> {
  const scratch = await makeScratch();
  const dovecotDir = join(scratch.dir, "d");
  await mkdir(dovecotDir);
  const deadline = deadlineAfter(START_MS);
  const users = Array.from({ length: ACCOUNTS }, (_, i) => ({ address: address(i), password: "secret" }));
  // As many LMTP processes as sessions, kept: the figure is about storing, not about forking.
  const dovecot = await startDovecot({ dir: dovecotDir, mode: { kind: "maildir" }, users }, deadline);
  const sidecar = await startSidecar({ dir: join(scratch.dir, "s"), logLevel: "warn" });
  deadline.dispose();
  return {
    sidecar,
    dovecot,
    dir: scratch.dir,
    async stop() {
      await sidecar.stop();
      await dovecot.stop();
      await scratch.remove();
    },
  };
}
