/**
 * `doveadm backup -R` from imapc: into a private Dovecot with Maildir, the way to move away from any IMAP server. UIDs, dates, flags
 * and keywords are kept; line ends become LF. A NUL stays one: 0x80 is what Dovecot's IMAP server makes of it.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Dovecot, startDovecot } from "../../../src/mailhost/dovecot.ts";
import { decodeUtf7 } from "../../../src/protocols/imap/utf7.ts";
import { type Kept, type KeptMessage, type MailClient, runProgram, type SyncJob, withLf } from "./client.ts";
import { findMaildirs, type MaildirFile, readMaildir } from "./maildir.ts";

/** Local user of the backup. */
const OWNER = "backup@example.test";

/** By folder of the job: the copy's own server. */
const targets = new Map<string, Dovecot>();

export const doveadm: MailClient = {
  name: "doveadm backup",
  programs: ["doveadm"],
  login: "master",
  flags: "all",
  dates: true,
  emptyMailboxes: false,
  async writes(messages) {
    return messages.map(withLf);
  },
  async sync(job) {
    const target = targets.get(job.dir) ?? (await startTarget(job));
    targets.set(job.dir, target);
    const { host, port, user, password, authorize } = job.access;
    const settings = [
      `imapc_host=${host}`,
      `imapc_port=${port}`,
      `imapc_user=${authorize ?? user}`,
      ...(authorize === undefined ? [] : [`imapc_master_user=${user}`]),
      `imapc_password=${password}`,
      "imapc_features=rfc822.size fetch-headers",
      "mail_prefetch_count=100",
    ];
    const options = settings.flatMap(setting => ["-o", setting]);
    const args = ["-c", target.configFile, ...options, "backup", "-R", "-u", OWNER, "imapc:"];
    await runProgram("doveadm", args, job);
  },
  async read(job) {
    const root = join(targets.get(job.dir)?.home(OWNER) ?? "", "Maildir");
    const kept = new Map<string, readonly KeptMessage[]>();
    for (const folder of await findMaildirs(root)) {
      kept.set(mailboxName(folder), await readDovecotMaildir(join(root, folder)));
    }
    return kept as Kept;
  },
  async close(job) {
    await targets.get(job.dir)?.stop();
    targets.delete(job.dir);
  },
};

function startTarget({ dir, deadline }: SyncJob): Promise<Dovecot> {
  const users = [{ address: OWNER, password: "unused" }];
  return startDovecot({ dir, mode: { kind: "maildir" }, users }, deadline);
}

/** Maildir++: INBOX is the folder itself, others begin with a dot and have dots between levels. */
function mailboxName(folder: string): string {
  if (folder === "") return "INBOX";
  return decodeUtf7(Buffer.from(folder.slice(1).replaceAll(".", "/")));
}

async function readDovecotMaildir(dir: string): Promise<readonly KeptMessage[]> {
  const uids = await readUidList(join(dir, "dovecot-uidlist"));
  const keywords = await readKeywords(join(dir, "dovecot-keywords"));
  return (await readMaildir(dir)).map(file => ({
    uid: uids.get(file.name) ?? 0,
    bytes: file.bytes,
    flags: [...file.flags, ...keywordNames(file, keywords)],
    date: file.modified,
  }));
}

async function readIfThere(file: string): Promise<string> {
  return existsSync(file) ? readFile(file, "utf8") : "";
}

/** Version 3: a header line, then "uid [fields] :file name". Source: doc.dovecot.org, Maildir format. */
async function readUidList(file: string): Promise<ReadonlyMap<string, number>> {
  const lines = (await readIfThere(file)).split("\n").slice(1);
  return new Map(
    lines
      .filter(line => line !== "")
      .map(line => [line.slice(line.indexOf(":") + 1).split(":2,")[0] ?? "", Number.parseInt(line, 10)]),
  );
}

/** "number name"; the letter `a` in a file name is number 0. */
async function readKeywords(file: string): Promise<readonly string[]> {
  return (await readIfThere(file)).split("\n").flatMap(line => line.split(" ")[1] ?? []);
}

function keywordNames({ keywordLetters }: MaildirFile, keywords: readonly string[]): readonly string[] {
  return [...keywordLetters].map(letter => keywords[letter.charCodeAt(0) - 97] ?? `no keyword ${letter}`);
}
