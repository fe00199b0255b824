/**
 * getmail 6, one run for all mailboxes that it is told of, each into a Maildir. It remembers UIDs, keeps no flags, and parses every
 * message with Python's `email` package; what it writes is that package's rendering with `Return-Path` put first.
 */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { type Kept, type KeptMessage, type MailClient, runProgram, type SyncJob } from "./client.ts";
import { readMaildir } from "./maildir.ts";
import { asPythonWrites } from "./python-email.ts";

/** Where Python finds `sitecustomize.py`. */
const PATCH = join(packageRoot(), "test/lib/clients/getmail-patch");

export const getmail: MailClient = {
  name: "getmail",
  programs: ["getmail"],
  login: "password",
  flags: undefined,
  dates: false,
  emptyMailboxes: false,
  writes: (messages, job) => asPythonWrites("getmail", messages, job),
  async sync(job) {
    const files: string[] = [];
    for (const mailbox of job.mailboxes) {
      const maildir = maildirOf(job, mailbox);
      for (const part of ["cur", "new", "tmp"]) await mkdir(join(maildir, part), { recursive: true });
      const file = `${maildir}.rc`;
      await writeFile(file, config(job, mailbox, maildir), { mode: 0o600 });
      files.push(`--rcfile=${file}`);
    }
    const env = { PYTHONPATH: PATCH, PYTHONDONTWRITEBYTECODE: "1" };
    await runProgram("getmail", [`--getmaildir=${job.dir}`, "--quiet", ...files], job, { env });
  },
  async read(job) {
    const kept = new Map<string, readonly KeptMessage[]>();
    for (const mailbox of job.mailboxes) {
      const maildir = maildirOf(job, mailbox);
      if (!existsSync(maildir)) continue;
      kept.set(
        mailbox,
        (await readMaildir(maildir)).map(({ bytes }) => ({ bytes })),
      );
    }
    return kept as Kept;
  },
};

function maildirOf({ dir }: SyncJob, mailbox: string): string {
  return join(dir, encodeURIComponent(mailbox));
}

function config({ access }: SyncJob, mailbox: string, maildir: string): string {
  return `
[retriever]
type = SimpleIMAPRetriever
server = ${access.host}
port = ${access.port}
username = ${access.user}
password = ${access.password}
mailboxes = ("${mailbox}",)
use_peek = true
record_mailbox = false
timeout = 60
[destination]
type = Maildir
path = ${maildir}/
[options]
read_all = false
delivered_to = false
received = false
delete = false
`;
}
