/**
 * getmail 6, one run for all mailboxes that it is told of. It remembers UIDs, keeps no flags, and parses every message with Python's
 * `email` package; what it writes is that package's rendering with `Return-Path` put first. INBOX goes on by LMTP, since a process
 * for each message of a Maildir is slow; the others go into Maildirs.
 */
import { chown, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { type Kept, type KeptMessage, type MailClient, runProgram, type SyncJob } from "./client.ts";
import { type LmtpSink, startLmtpSink } from "./lmtp-sink.ts";
import { readMaildir } from "./maildir.ts";
import { asPythonWrites } from "./python-email.ts";

const PATCH = join(packageRoot(), "test/lib/clients/getmail-patch");
/** getmail delivers nothing as root. */
const NOBODY = 65_534;
const BY_LMTP = "INBOX";

/** One per job: what getmail handed on before stays there. */
const sinks = new Map<string, LmtpSink>();

export const getmail: MailClient = {
  name: "getmail",
  programs: ["getmail"],
  login: "password",
  flags: undefined,
  dates: false,
  emptyMailboxes: false,
  writes: (messages, job, mailbox) =>
    asPythonWrites(mailbox === BY_LMTP ? "getmail-lmtp" : "getmail", messages, job),
  async sync(job) {
    const sink = sinks.get(job.dir) ?? (await startLmtpSink());
    sinks.set(job.dir, sink);
    const files: string[] = [];
    for (const [i, mailbox] of job.mailboxes.entries()) {
      const maildir = join(job.dir, `maildir${i}`);
      for (const part of ["", "cur", "new", "tmp"]) {
        await mkdir(join(maildir, part), { recursive: true });
        await chown(join(maildir, part), NOBODY, NOBODY);
      }
      const target =
        mailbox === BY_LMTP
          ? `type = MDA_lmtp\nhost = 127.0.0.1\nport = ${sink.port}\noverride = inbox@example.test`
          : `type = Maildir\npath = ${maildir}/`;
      const file = join(job.dir, `rc${i}`);
      await writeFile(file, config(job, mailbox, target), { mode: 0o600 });
      await chown(file, NOBODY, NOBODY);
      files.push(`--rcfile=${file}`);
    }
    await chown(job.dir, NOBODY, NOBODY);
    const options = { id: NOBODY, env: { PYTHONPATH: PATCH, PYTHONDONTWRITEBYTECODE: "1" } };
    await runProgram("getmail", [`--getmaildir=${job.dir}`, "--quiet", ...files], job, options);
  },
  async read(job) {
    const kept = new Map<string, readonly KeptMessage[]>();
    for (const [i, mailbox] of job.mailboxes.entries()) {
      if ((await readdir(job.dir)).includes(`maildir${i}`)) {
        kept.set(mailbox, await readMaildir(join(job.dir, `maildir${i}`)).then(withoutFlags));
      }
    }
    kept.set(BY_LMTP, sinks.get(job.dir)?.messages.map(bytes => ({ bytes })) ?? []);
    return kept as Kept;
  },
  async close(job) {
    await sinks.get(job.dir)?.stop();
    sinks.delete(job.dir);
  },
};

function withoutFlags(files: readonly KeptMessage[]): readonly KeptMessage[] {
  return files.map(({ bytes }) => ({ bytes }));
}

function config({ access }: SyncJob, mailbox: string, target: string): string {
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
${target}
[options]
read_all = false
delivered_to = false
received = false
delete = false
`;
}
