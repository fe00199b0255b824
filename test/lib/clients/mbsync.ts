/**
 * mbsync (isync 1.4) as a pull into Maildirs. It puts `X-TUID` into the header of each message it copies, drops every CR (not only
 * those of line ends), and passes over a message whose header block does not end with an empty line ("incomplete header; skipping"). Its state files tie the
 * server's UIDs to its own.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeUtf7 } from "../../../src/protocols/imap/utf7.ts";
import { type Kept, type KeptMessage, type MailClient, runProgram, type SyncJob } from "./client.ts";
import { findMaildirs, readMaildir, uidInName } from "./maildir.ts";

/** isync's header field for finding a message again; 12 characters (src/sync.c, TUIDL). */
const TUID = /^X-TUID: .{12}\n/mu;
const STATE = "state-";

export const mbsync: MailClient = {
  name: "mbsync",
  programs: ["mbsync"],
  login: "password",
  flags: ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "$Forwarded"],
  dates: true,
  emptyMailboxes: true,
  async writes(messages) {
    return messages.map(withoutCr).map(bytes => (hasEmptyLine(bytes) ? bytes : undefined));
  },
  async sync(job) {
    const rc = join(job.dir, "mbsyncrc");
    await mkdir(join(job.dir, "mail"), { recursive: true });
    await writeFile(rc, config(job), { mode: 0o600 });
    await runProgram("mbsync", ["-c", rc, "-a"], job);
  },
  async read(job) {
    const root = join(job.dir, "mail");
    const kept = new Map<string, readonly KeptMessage[]>();
    for (const folder of await findMaildirs(root)) {
      const uids = await serverUids(join(job.dir, STATE + folder.replaceAll("/", "!")));
      const files = await readMaildir(join(root, folder));
      const messages = files.map(file => ({
        uid: uids.get(uidInName(file.name)) ?? 0,
        bytes: Buffer.from(file.bytes.toString("latin1").replace(TUID, ""), "latin1"),
        flags: file.flags,
        date: file.modified,
      }));
      kept.set(decodeUtf7(Buffer.from(folder)), messages);
    }
    return kept as Kept;
  },
};

function withoutCr(bytes: Buffer): Buffer {
  return Buffer.from(bytes.filter(octet => octet !== 0x0d));
}

function hasEmptyLine(lfBytes: Buffer): boolean {
  return lfBytes[0] === 0x0a || lfBytes.includes("\n\n");
}

function config({ access, dir }: SyncJob): string {
  return `
IMAPAccount far
Host ${access.host}
Port ${access.port}
User ${access.user}
Pass ${access.password}
SSLType None
AuthMechs LOGIN
Timeout 60

IMAPStore far
Account far

MaildirStore near
Path ${dir}/mail/
Inbox ${dir}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
Sync Pull
SyncState ${dir}/${STATE}
CopyArrivalDate yes
`;
}

/** A line of pairs is "far near flags"; header and pairs are parted by an empty line (isync src/sync_state.c). */
async function serverUids(file: string): Promise<ReadonlyMap<number, number>> {
  const [, pairs = ""] = (await readFile(file, "utf8")).split("\n\n");
  const lines = pairs.split("\n").filter(line => line !== "");
  return new Map(
    lines.map(line => {
      const [far, near] = line.split(" ");
      return [Number(near), Number(far)];
    }),
  );
}
