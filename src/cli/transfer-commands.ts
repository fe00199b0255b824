/** The part of the command table that moves whole accounts: import, export, verify. */
import type { CommandSpec, OptionSpec } from "./command.ts";
import { LOGIN_OPTIONS } from "./imap-login.ts";
import { ACCOUNTS, PARALLEL, RATE } from "./many-accounts.ts";

const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };
const PROGRESS: OptionSpec = {
  flags: "--progress <how>",
  description: "auto (a bar on a terminal), json (one event per line on standard error), none",
};
const MAP: OptionSpec = {
  flags: "--map <old=new>",
  description: "a folder there is this mailbox here, with all below it; may be repeated",
  repeats: true,
};

export const TRANSFER_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "import maildir <folder>",
    summary: "copy a Maildir into an account; again: only what is new",
    options: [
      { flags: "--account <address>", description: "into whose; required" },
      { flags: "--layout <layout>", description: "maildir++ (default), or fs for folders within folders" },
      MAP,
      {
        flags: "--uids <whose>",
        description: "keep the source's where the whole mailbox can (default), or own",
      },
      {
        flags: "--final",
        description: "the source's server is stopped: mail it has not numbered yet gets the next UIDs",
      },
      DRY_RUN,
      PROGRESS,
    ],
    examples: [
      "import maildir /var/vmail/example.com/taro/Maildir --account taro@example.com --dry-run",
      "import maildir ~taro/Maildir --account taro@example.com --map 'Old Mail=Archive' --progress=json",
    ],
    load: async () => (await import("./commands/import.ts")).maildir,
  },
  {
    usage: "import imap <url>",
    summary: "copy accounts of another IMAP server; again: only what is new",
    options: [
      { flags: "--account <address>", description: "into whose; this or --accounts" },
      ACCOUNTS,
      ...LOGIN_OPTIONS,
      MAP,
      {
        flags: "--uids <whose>",
        description: "keep the source's where the whole mailbox can (default), or own",
      },
      PARALLEL,
      RATE,
      DRY_RUN,
      PROGRESS,
    ],
    examples: [
      "import imap imaps://taro@old.example.com --account taro@example.com --password-file ./password --dry-run",
      "import imap imaps://old.example.com --accounts accounts.csv --master-user admin --password-file ./master --rate 10M",
    ],
    load: async () => (await import("./commands/import-imap.ts")).imap,
  },
  {
    usage: "export maildir <folder>",
    summary: "copy an account into a Maildir that Dovecot can serve; again: only what is new",
    options: [
      { flags: "--account <address>", description: "whose; required" },
      {
        flags: "--owner <uid:gid>",
        description: "numbers of the user and group that the files shall belong to",
      },
      DRY_RUN,
      PROGRESS,
    ],
    examples: ["export maildir /srv/export/taro --account taro@example.com --owner 5000:5000"],
    load: async () => (await import("./commands/export.ts")).maildir,
  },
  {
    usage: "export imap <url>",
    summary: "copy accounts into another IMAP server; again: what is new, and flags that changed",
    options: [
      { flags: "--account <address>", description: "whose; this or --accounts" },
      ACCOUNTS,
      ...LOGIN_OPTIONS,
      {
        flags: "--map <old=new>",
        description: "a mailbox here is this folder there, with all below it; may be repeated",
        repeats: true,
      },
      { flags: "--delete", description: "remove there what an earlier pass brought and is gone here" },
      PARALLEL,
      RATE,
      DRY_RUN,
      PROGRESS,
    ],
    examples: [
      "export imap imaps://taro@old.example.com --account taro@example.com --password-file ./password",
      "export imap imap://127.0.0.1:1430 --accounts accounts.csv --master-user admin --password-file ./master --parallel 8",
    ],
    load: async () => (await import("./commands/export-imap.ts")).imap,
  },
  {
    usage: "verify <account>",
    summary: "compare an account or a domain with another IMAP server; exit 0 equal, 1 different",
    options: [
      { flags: "--against <url>", description: "imap://user@host:port or imaps://…; required" },
      ...LOGIN_OPTIONS,
      { flags: "--full", description: "compare all bytes, not only headers and sizes" },
      MAP,
      { flags: "--ignore-uids", description: "UIDs and UIDVALIDITY may differ" },
      { flags: "--ignore-dates", description: "dates of arrival may differ" },
      {
        flags: "--ignore-trace",
        description:
          "Return-Path, Delivered-To and the Received in front may differ: mail that came two ways",
      },
      {
        flags: "--ignore-marks",
        description: "flags and keywords that are only here are no difference: hooks mark what is mirrored",
      },
      PARALLEL,
      { flags: "--limit <n>", description: "differences that are shown; default 20" },
      PROGRESS,
    ],
    examples: [
      "verify taro@example.com --against imaps://taro@old.example.com --password-file ./password --full",
      "verify example.com --against imap://127.0.0.1:1430 --master-user admin --password-file ./master",
    ],
    load: async () => (await import("./commands/verify.ts")).verify,
  },
];
