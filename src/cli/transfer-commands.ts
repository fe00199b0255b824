/** The part of the command table that moves whole accounts: import, export, verify. */
import type { CommandSpec, OptionSpec } from "./command.ts";

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
    usage: "verify <account>",
    summary: "compare an account with the same one on another IMAP server; exit 0 equal, 1 different",
    options: [
      { flags: "--against <url>", description: "imap://user@host:port or imaps://…; required" },
      { flags: "--password-file <file>", description: "with the password for the other server; required" },
      {
        flags: "--master-user <name>",
        description: "who logs in there; the user of the URL is whose mail is read",
      },
      { flags: "--full", description: "compare all bytes, not only headers and sizes" },
      MAP,
      { flags: "--ignore-uids", description: "UIDs and UIDVALIDITY may differ" },
      { flags: "--ignore-dates", description: "dates of arrival may differ" },
      { flags: "--insecure", description: "take any certificate" },
      { flags: "--limit <n>", description: "differences that are shown; default 20" },
      PROGRESS,
    ],
    examples: [
      "verify taro@example.com --against imaps://taro@old.example.com --password-file ./password --full",
      "verify taro@example.com --against imap://127.0.0.1:1430 --master-user admin --password-file ./master",
    ],
    load: async () => (await import("./commands/verify.ts")).verify,
  },
];
