/** `verify-no-loss` as one line of the table in `commands.ts`. */
import type { CommandSpec } from "./command.ts";

export const LOSS_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "verify-no-loss",
    summary: "send canaries through your own Postfix, kill the service meanwhile, and show that none is lost",
    options: [
      {
        flags: "--domain <name>",
        description: "to an account made for the run, removed with its mail at the end",
      },
      {
        flags: "--to <address>",
        description: "to this account instead; may be repeated",
        repeats: true,
      },
      { flags: "--messages <n>", description: "canaries in all; default 100" },
      { flags: "--rate <n>", description: "canaries per second; default 20" },
      {
        flags: "--kill <where>",
        description:
          "end the service (SIGKILL) at a step of a delivery: received, decided, persisted, committed; random: at any time; all: at each step and at any time; none (default); may be repeated. With --dovecot: received, decided, relay_open, relay_sent, relayed, relay_recorded",
        repeats: true,
      },
      { flags: "--kills <n>", description: "how often at each; default 1" },
      { flags: "--through <listener>", description: "Postfix's SMTP server; default: outbound.smtp" },
      { flags: "--from <address>", description: "envelope sender; default: the null sender" },
      {
        flags: "--postfix <folder>",
        description: "config_directory of the Postfix instance whose queue is watched",
      },
      { flags: "--no-queue", description: "Postfix is on another host: wait until all canaries are there" },
      {
        flags: "--dovecot <url>",
        description: "look there, where users read: imap://user@host:port or imaps://…",
      },
      { flags: "--password-file <file>", description: "with the password for --dovecot" },
      { flags: "--master-user <name>", description: "who logs in at --dovecot, for each --to" },
      { flags: "--insecure", description: "take any certificate of --dovecot" },
      {
        flags: "--restart-timeout <seconds>",
        description: "how long a killed service may be away; default 60",
      },
      {
        flags: "--wait <seconds>",
        description: "how long Postfix may take to deliver the rest; default 600",
      },
      { flags: "--keep", description: "leave the canaries where they are" },
      { flags: "--dry-run", description: "check what is needed and say what would happen, send nothing" },
      { flags: "--yes", description: "kill without asking" },
    ],
    examples: [
      "verify-no-loss --domain example.com --dry-run",
      "verify-no-loss --domain example.com --messages 1000 --rate 50",
      "verify-no-loss --domain example.com --kill all --kills 5 --yes      the service must be started again by systemd",
      "verify-no-loss --to taro@example.com --dovecot imap://taro@127.0.0.1 --password-file ./password",
    ],
    load: async () => (await import("./commands/verify-no-loss.ts")).verifyNoLoss,
  },
];
