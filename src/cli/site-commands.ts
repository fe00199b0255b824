/** The part of the command table about the servers beside us: setup, doctor, selftest. */
import type { CommandSpec, OptionSpec } from "./command.ts";

const PLACES: readonly OptionSpec[] = [
  { flags: "--postfix-dir <folder>", description: "folder of another Postfix's main.cf" },
  { flags: "--dovecot-config <file>", description: "another Dovecot's dovecot.conf" },
];

export const SITE_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "setup [scope...]",
    summary: "show what Postfix and Dovecot need for a stage, and what takes it back; needs no service",
    options: [
      { flags: "--stage <stage>", description: "observe, hooks, mirror or store" },
      { flags: "--apply", description: "do it: after a backup, all or nothing" },
      { flags: "--undo", description: "take back what was set up for these domains or addresses" },
      { flags: "--backup <folder>", description: "for the files as they were; default /var/backups/mairust" },
      { flags: "--dry-run", description: "change nothing, which is the default without --apply" },
      ...PLACES,
    ],
    examples: [
      "setup                                              who is set up today",
      "setup example.com --stage observe                  show the lines",
      "setup example.com --stage observe --apply",
      "setup taro@example.com --stage store --apply       one account first",
      "setup example.com --undo --apply",
    ],
    load: async () => (await import("./commands/setup.ts")).setup,
  },
  {
    usage: "doctor",
    summary: "find faults in Postfix, Dovecot and our own set-up, with cause and fix; needs no service",
    options: PLACES,
    examples: ["doctor", "doctor -f json"],
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  {
    usage: "selftest",
    summary: "send one message through, and show what became of it and when",
    options: [
      { flags: "--to <address>", description: "receiver; default: the first account" },
      {
        flags: "--through <server>",
        description: "lmtp, our own listener (default), or postfix, by outbound.smtp",
      },
      { flags: "--imap <url>", description: "find it there: imap://user@host:port, or imaps://…" },
      { flags: "--password-file <file>", description: "with the password for --imap" },
      {
        flags: "--master-user <name>",
        description: "who logs in there; the user of the URL is whose mail is read",
      },
      { flags: "--insecure", description: "take any certificate" },
      { flags: "--timeout <seconds>", description: "how long to wait; default 30" },
    ],
    examples: [
      "selftest",
      "selftest --to taro@example.test --through postfix",
      "selftest --to taro@example.test --through postfix --imap imap://taro%40example.test@127.0.0.1 --password-file pw",
    ],
    load: async () => (await import("./commands/selftest.ts")).selftest,
  },
];
