/**
 * What the read rows compare: our service and a Dovecot with Maildir, each reached directly and through a Dovecot of its own with
 * imapc, as the shipped configuration sets it. All private, on loopback. Mailboxes are filled once per run and kept for all rows.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Dovecot, startDovecot } from "../../../src/mailhost/dovecot.ts";
import type { DovecotMode } from "../../../src/mailhost/dovecot-config.ts";
import { makeScratch } from "../../../src/mailhost/scratch.ts";
import { deadlineAfter } from "../../../src/platform/deadline.ts";
import { type Sidecar, startSidecar } from "../../lib/sidecar.ts";
import { type DataSet, fillMaildir, fillOurs } from "./fill.ts";
import { ImapLoad } from "./imap-load.ts";
import { DOMAIN } from "./targets.ts";

const START_MS = 60_000;
const PASSWORD = "secret";
const MASTER = { address: "dovecot", password: "master-secret" };
const USERS = 16;

export type Side = "mairust" | "dovecot";
/** `imapc`: through a Dovecot in front. */
export type Way = "direct" | "imapc";

export const reader = (i: number) => `reader${i}@${DOMAIN}`;

export interface ReadSite {
  readonly sidecar: Sidecar;
  /** The peer: Dovecot with Maildir. */
  readonly maildir: Dovecot;
  /** Fill `reader(i)`'s INBOX on both sides, unless that was done. */
  fill(i: number, set: Omit<DataSet, "address">): Promise<void>;
  open(side: Side, way: Way, i: number): Promise<ImapLoad>;
  /** Remove what the front of this side knows of `reader(i)`. Nobody may be logged in there. */
  forgetFront(side: Side, i: number): Promise<void>;
  /** Remove the index of `reader(i)`'s Maildir, UIDs excepted. */
  forgetMaildirIndex(i: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startReadSite(): Promise<ReadSite> {
  const scratch = await makeScratch();
  const folder = async (name: string) => {
    await mkdir(join(scratch.dir, name));
    return join(scratch.dir, name);
  };
  const users = Array.from({ length: USERS }, (_, i) => ({ address: reader(i), password: PASSWORD }));
  const start = async (dir: string, mode: DovecotMode) => {
    const deadline = deadlineAfter(START_MS);
    try {
      return await startDovecot({ dir: await folder(dir), mode, users }, deadline);
    } finally {
      deadline.dispose();
    }
  };
  const sidecar = await startSidecar({
    dir: await folder("s"),
    logLevel: "warn",
    imap: "connections_per_user = 1000",
  });
  const maildir = await start("d", { kind: "maildir", master: MASTER });
  const front = (dir: string, port: number, masterPassword: string) =>
    start(dir, {
      kind: "imapc",
      upstream: { host: "127.0.0.1", port, masterUser: MASTER.address, masterPassword },
    });
  const fronts: Readonly<Record<Side, Dovecot>> = {
    mairust: await front("f1", sidecar.imapPort, sidecar.masterPassword),
    dovecot: await front("f2", maildir.imapPort, MASTER.password),
  };
  const filled = new Set<number>();

  return {
    sidecar,
    maildir,
    async fill(i, set) {
      if (filled.has(i)) return;
      filled.add(i);
      const whole = { ...set, address: reader(i) };
      fillMaildir(maildir.home(whole.address), whole);
      await fillOurs(sidecar, whole);
    },
    open(side, way, i) {
      if (way === "imapc")
        return ImapLoad.open(fronts[side].imapPort, { user: reader(i), password: PASSWORD });
      if (side === "dovecot") return ImapLoad.open(maildir.imapPort, { user: reader(i), password: PASSWORD });
      return ImapLoad.open(sidecar.imapPort, {
        user: MASTER.address,
        password: sidecar.masterPassword,
        as: reader(i),
      });
    },
    async forgetFront(side, i) {
      const home = fronts[side].home(reader(i));
      for (const name of ["mairust", "mairust-private"])
        await rm(join(home, name), { recursive: true, force: true, maxRetries: 5 });
    },
    async forgetMaildirIndex(i) {
      const dir = join(maildir.home(reader(i)), "Maildir");
      for (const name of (await readdir(dir)).filter(file => file.startsWith("dovecot.index")))
        await rm(join(dir, name), { force: true });
    },
    async stop() {
      for (const server of [fronts.mairust, fronts.dovecot, maildir]) await server.stop();
      await sidecar.stop();
      await scratch.remove();
    },
  };
}
