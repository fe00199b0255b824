/** The part of the command table about stages. */
import type { CommandSpec, Handler } from "./command.ts";
import { LOGIN_OPTIONS } from "./imap-login.ts";

const stage = (pick: (m: typeof import("./commands/stage.ts")) => Handler) => async () =>
  pick(await import("./commands/stage.ts"));

export const STAGE_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "stage show [scope]",
    summary: "the stage of all domains, of one domain or of one account",
    options: [{ flags: "--limit <n>", description: "most lines" }],
    examples: ["stage show", "stage show example.com", "stage show taro@example.com -f json"],
    load: stage(m => m.show),
  },
  {
    usage: "stage set <scope> [stage]",
    summary:
      "move a domain or one account to observe, hooks, mirror or store: Postfix, Dovecot and the sidecar",
    options: [
      { flags: "--apply", description: "make the changes that Postfix and Dovecot need, after a backup" },
      { flags: "--sidecar-only", description: "Postfix and Dovecot are on another host, or yours to change" },
      { flags: "--relay-lmtp <where>", description: "next hop before store: unix:/path, inet:host:port" },
      { flags: "--clear", description: "take the account's own stage away: its domain's counts" },
      {
        flags: "--against <url>",
        description:
          "imap://host:port or imaps://… of Dovecot's own mail: what only the sidecar has goes back",
      },
      ...LOGIN_OPTIONS,
      {
        flags: "--map <old=new>",
        description: "a folder there is this mailbox here, with all below it; may be repeated",
        repeats: true,
      },
      {
        flags: "--without-verify",
        description:
          "to or from store though not every account was compared; mail may then be on one side only",
      },
      { flags: "--force", description: "though the next hop does not greet" },
      { flags: "--postfix-dir <folder>", description: "of main.cf; default: Postfix's own" },
      { flags: "--dovecot-config <file>", description: "default: Dovecot's own" },
      {
        flags: "--backup <folder>",
        description: "where --apply keeps the files as they were; default /var/backups/mairust",
      },
      { flags: "--dry-run", description: "say what would happen, change nothing" },
      { flags: "--yes", description: "do it without asking" },
      {
        flags: "--progress <how>",
        description: "auto (a bar on a terminal), json (one event per line on standard error), none",
      },
    ],
    examples: [
      "stage set example.com hooks --dry-run",
      "stage set example.com hooks --relay-lmtp unix:/run/dovecot/lmtp --apply --yes",
      "stage set taro@example.com mirror --yes",
      "stage set example.com mirror --against imap://127.0.0.1 --master-user admin --password-file ./master --apply",
      "stage set taro@example.com --clear --yes",
    ],
    load: stage(m => m.set),
  },
];
