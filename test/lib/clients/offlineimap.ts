/**
 * OfflineIMAP 8 into Maildirs, UIDs in the file names. It parses every message with Python's `email` package and writes what that
 * makes of it (`python-email.py` does the same with what was stored); one that the package cannot write is passed over.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeUtf7 } from "../../../src/protocols/imap/utf7.ts";
import { type Kept, type KeptMessage, type MailClient, runProgram, type SyncJob } from "./client.ts";
import { findMaildirs, readMaildir, uidInName } from "./maildir.ts";
import { asPythonWrites } from "./python-email.ts";

/** 1: some messages were passed over, each named in its output. */
const PASSED_OVER = 1;

export const offlineimap: MailClient = {
  name: "offlineimap",
  programs: ["offlineimap"],
  login: "password",
  flags: ["\\Seen", "\\Answered", "\\Flagged", "\\Draft"],
  dates: false,
  emptyMailboxes: true,
  writes: (messages, job) => asPythonWrites("offlineimap", messages, job),
  async sync(job) {
    const rc = join(job.dir, "offlineimaprc");
    await writeFile(rc, config(job), { mode: 0o600 });
    await runProgram("offlineimap", ["-o", "-u", "quiet", "-c", rc], job, { allowed: [PASSED_OVER] });
  },
  async read(job) {
    const root = join(job.dir, "mail");
    const kept = new Map<string, readonly KeptMessage[]>();
    for (const folder of await findMaildirs(root)) {
      const files = await readMaildir(join(root, folder));
      const messages = files.map(({ name, bytes, flags }) => ({ uid: uidInName(name), bytes, flags }));
      kept.set(decodeUtf7(Buffer.from(folder)), messages);
    }
    return kept as Kept;
  },
};

function config({ access, dir }: SyncJob): string {
  return `
[general]
accounts = a
metadata = ${dir}/meta
fsync = False
[Account a]
localrepository = local
remoterepository = remote
[Repository local]
type = Maildir
localfolders = ${dir}/mail
sep = /
[Repository remote]
type = IMAP
readonly = True
remotehost = ${access.host}
remoteport = ${access.port}
ssl = no
starttls = no
auth_mechanisms = PLAIN
remoteuser = ${access.user}
remotepass = ${access.password}
maxconnections = 2
`;
}
