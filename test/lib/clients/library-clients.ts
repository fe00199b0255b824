/** Small programs over the IMAP libraries that others build on; they keep every octet, UID, flag and date (`records.ts`). */
import { join } from "node:path";
import { packageRoot } from "../../../src/platform/package-root.ts";
import { type Access, type MailClient, runProgram, unchanged } from "./client.ts";
import { readRecords } from "./records.ts";

const script = (name: string) => join(packageRoot(), "test/lib/clients", name);

const COMMON = {
  flags: "all",
  emptyMailboxes: true,
  writes: unchanged,
  read: ({ dir }: { readonly dir: string }) => readRecords(dir),
} as const;

/** HOST PORT USER PASSWORD AUTHORIZE DIR */
const args = ({ host, port, user, password, authorize }: Access, dir: string) => [
  host,
  String(port),
  user,
  password,
  authorize ?? "",
  dir,
];

/** Python's standard library; AUTHENTICATE PLAIN with an authorization identity. */
export const imaplib: MailClient = {
  ...COMMON,
  name: "Python imaplib",
  programs: ["python3"],
  login: "master",
  dates: true,
  async sync(job) {
    await runProgram("python3", [script("imaplib-copy.py"), ...args(job.access, job.dir)], job);
  },
};

/** Perl; AUTHENTICATE PLAIN with an authorization identity. */
export const mailImapClient: MailClient = {
  ...COMMON,
  name: "Perl Mail::IMAPClient",
  programs: ["perl"],
  login: "master",
  dates: true,
  async sync(job) {
    await runProgram("perl", [script("mail-imapclient-copy.pl"), ...args(job.access, job.dir)], job);
  },
};

/** Lua; asks for one message at a time, and finds flags by SEARCH. */
export const imapfilter: MailClient = {
  ...COMMON,
  name: "imapfilter",
  programs: ["imapfilter"],
  login: "password",
  dates: false,
  async sync(job) {
    const { host, port, user, password } = job.access;
    const env = {
      IMAP_HOST: host,
      IMAP_PORT: String(port),
      IMAP_USER: user,
      IMAP_PASSWORD: password,
      COPY_DIR: job.dir,
    };
    await runProgram("imapfilter", ["-c", script("imapfilter-copy.lua")], job, { env });
  },
};
