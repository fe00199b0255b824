/**
 * All commands as data: how they are called, what they are for, and where their code is. Handlers are imported when they are
 * called: `--help` loads this file and commander only.
 */
import type { CommandSpec, Handler, OptionSpec } from "./command.ts";
import { DKIM_COMMANDS } from "./dkim-commands.ts";
import { HELD_COMMANDS } from "./held-commands.ts";
import { HOOK_COMMANDS } from "./hook-commands.ts";
import { LOSS_COMMANDS } from "./loss-commands.ts";
import { PLUGIN_COMMANDS } from "./plugin-commands.ts";
import { PLUGIN_LIMITS_COMMANDS } from "./plugin-limits-commands.ts";
import { AUDIT_COMMANDS, CONSENT_COMMANDS } from "./plugin-review-commands.ts";
import { SEND_COMMANDS } from "./send-commands.ts";
import { SITE_COMMANDS } from "./site-commands.ts";
import { STAGE_COMMANDS } from "./stage-commands.ts";
import { TRANSFER_COMMANDS } from "./transfer-commands.ts";

const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };
const YES: OptionSpec = { flags: "--yes", description: "do it without asking" };
const LIMIT: OptionSpec = { flags: "--limit <n>", description: "most lines" };

const domain = (pick: (m: typeof import("./commands/domain.ts")) => Handler) => async () =>
  pick(await import("./commands/domain.ts"));
const account = (pick: (m: typeof import("./commands/account.ts")) => Handler) => async () =>
  pick(await import("./commands/account.ts"));
const msg = (pick: (m: typeof import("./commands/msg.ts")) => Handler) => async () =>
  pick(await import("./commands/msg.ts"));
const config = (pick: (m: typeof import("./commands/config.ts")) => Handler) => async () =>
  pick(await import("./commands/config.ts"));
const migrate = (pick: (m: typeof import("./commands/migrate.ts")) => Handler) => async () =>
  pick(await import("./commands/migrate.ts"));
const job = (pick: (m: typeof import("./commands/job.ts")) => Handler) => async () =>
  pick(await import("./commands/job.ts"));
const system = (pick: (m: typeof import("./commands/system.ts")) => Handler) => async () =>
  pick(await import("./commands/system.ts"));

const SERVICE: readonly CommandSpec[] = [
  {
    usage: "serve",
    summary: "run the service until SIGTERM or Ctrl-C; SIGHUP reloads",
    options: [
      { flags: "--roles <list>", description: "only these: milter,lmtp,imap,api,worker" },
      { flags: "--no-plugins", description: "run no plugin: mail passes without hooks" },
    ],
    examples: ["serve", "serve --config /etc/mairust/mairust.toml -o log.format=text"],
    load: async () => (await import("./commands/serve.ts")).serve,
  },
  {
    usage: "dev",
    summary: "everything on loopback with an embedded database and temporary data",
    options: [
      { flags: "--data-dir <folder>", description: "keep the data here, and use it again" },
      { flags: "--keep", description: "leave the temporary data at the end" },
      { flags: "--domain <name>", description: "domain whose addresses are made when mail arrives" },
    ],
    examples: ["dev", "dev --data-dir ./mail --domain example.test"],
    load: async () => (await import("./commands/dev.ts")).dev,
  },
  {
    usage: "demo",
    summary: "dev with a private Postfix and Dovecot: sends real mail through all of it",
    options: [{ flags: "--once", description: "end with the result: 0 when everything arrived" }],
    examples: ["demo", "demo --once"],
    load: async () => (await import("./commands/dev.ts")).demo,
  },
  {
    usage: "reload",
    summary: "apply the configuration again, in the running service",
    options: [DRY_RUN],
    examples: ["reload", "reload --dry-run"],
    load: system(m => m.reload),
  },
  {
    usage: "readyz",
    summary: "is the service ready? exit 0 when it is",
    options: [
      { flags: "--wait", description: "until it is" },
      { flags: "--timeout <seconds>", description: "how long to wait; default 60" },
    ],
    examples: ["readyz", "readyz --wait --timeout 30"],
    load: system(m => m.readyz),
  },
  {
    usage: "scrub",
    summary: "read every stored message again and compare all rows: exit 1 when something is wrong",
    options: [{ flags: "--quick", description: "rows and files' sizes only, nothing is read" }],
    examples: ["scrub", "scrub --quick -f json"],
    load: async () => (await import("./commands/scrub.ts")).scrub,
  },
];

const CONFIG: readonly CommandSpec[] = [
  {
    usage: "config show",
    summary: "the configuration in effect, as TOML",
    options: [
      { flags: "-n", description: "only what is set" },
      { flags: "-a", description: "everything, the default" },
      { flags: "-d", description: "the built-in defaults" },
      { flags: "--origin", description: "where each value comes from" },
    ],
    examples: ["config show -n --origin", "config show -d"],
    load: config(m => m.show),
  },
  {
    usage: "config check",
    summary: "check all files, the environment and -o; every problem with its line",
    examples: ["config check --config ./mairust.toml"],
    load: config(m => m.check),
  },
  {
    usage: "config schema",
    summary: "JSON Schema of the configuration file, for editors",
    examples: ["config schema > mairust.schema.json"],
    load: config(m => m.schema),
  },
  {
    usage: "config reference",
    summary: "every key with type, default and description",
    examples: ["config reference | less"],
    load: config(m => m.reference),
  },
  {
    usage: "migrate status",
    summary: "which database migrations are applied",
    examples: ["migrate status"],
    load: migrate(m => m.status),
  },
  {
    usage: "migrate up",
    summary: "apply the missing database migrations",
    options: [DRY_RUN],
    examples: ["migrate up", "migrate up --dry-run"],
    load: migrate(m => m.up),
  },
];

const ACCOUNTS: readonly CommandSpec[] = [
  {
    usage: "domain list",
    summary: "our domains",
    options: [LIMIT],
    examples: ["domain list", "domain list -f json"],
    load: domain(m => m.list),
  },
  {
    usage: "domain add <name>",
    summary: "take mail for a domain",
    options: [
      { flags: "--auto", description: "the first mail to an address makes its account" },
      { flags: "--quota <size>", description: "of each account: 500M, 2G, none" },
      { flags: "--stage <stage>", description: "its first one: observe, hooks, mirror; default store" },
      { flags: "--relay-lmtp <where>", description: "next hop before store: unix:/path, inet:host:port" },
      DRY_RUN,
    ],
    examples: [
      "domain add example.com",
      "domain add example.test --auto",
      "domain add example.com --stage observe --relay-lmtp unix:/run/dovecot/lmtp",
    ],
    load: domain(m => m.add),
  },
  {
    usage: "domain show <name>",
    summary: "one domain",
    examples: ["domain show example.com"],
    load: domain(m => m.show),
  },
  {
    usage: "domain rm <name>",
    summary: "remove a domain without accounts",
    options: [DRY_RUN, YES],
    examples: ["domain rm example.com --dry-run", "domain rm example.com --yes"],
    load: domain(m => m.remove),
  },
  {
    usage: "account list",
    summary: "accounts, by domain and name",
    options: [{ flags: "--domain <name>", description: "only of this domain" }, LIMIT],
    examples: ["account list", "account list --domain example.com -f tab"],
    load: account(m => m.list),
  },
  {
    usage: "account add <address>",
    summary: "make an account with INBOX, Junk, Sent, Archive, Trash and Drafts",
    options: [
      { flags: "--quota <size>", description: "500M, 2G, none; default: the domain's" },
      { flags: "--password-file <file>", description: "its first line is the password for logins by IMAP" },
      DRY_RUN,
    ],
    examples: ["account add taro@example.com", "account add taro@example.com --quota 2G"],
    load: account(m => m.add),
  },
  {
    usage: "account show <address>",
    summary: "one account with its mailboxes",
    examples: ["account show taro@example.com"],
    load: account(m => m.show),
  },
  {
    usage: "account quota <address> <size>",
    summary: "set the quota: 500M, 2G, none, or domain for the domain's",
    options: [DRY_RUN],
    examples: ["account quota taro@example.com 2G", "account quota taro@example.com domain"],
    load: account(m => m.quota),
  },
  {
    usage: "account passwd <address>",
    summary: "set the password for logins by IMAP: asked for, or one line of standard input",
    options: [
      { flags: "--password-file <file>", description: "its first line is the password" },
      { flags: "--hash <phc>", description: "an Argon2id hash instead, as Dovecot stores it" },
      { flags: "--clear", description: "no password any more" },
      DRY_RUN,
    ],
    examples: ["account passwd taro@example.com", "account passwd taro@example.com --clear"],
    load: account(m => m.passwd),
  },
  {
    usage: "account rm <address>",
    summary: "remove an account with all its mail",
    options: [DRY_RUN, YES],
    examples: ["account rm taro@example.com --dry-run", "account rm taro@example.com --yes"],
    load: account(m => m.remove),
  },
  {
    usage: "account alias list <address>",
    summary: "further addresses of an account",
    examples: ["account alias list taro@example.com"],
    load: account(m => m.listAliases),
  },
  {
    usage: "account alias add <address> <alias>",
    summary: "mail for the alias goes to the account",
    options: [DRY_RUN],
    examples: ["account alias add taro@example.com info@example.com"],
    load: account(m => m.addAlias),
  },
  {
    usage: "account alias rm <address> <alias>",
    summary: "take an alias away",
    options: [DRY_RUN, YES],
    examples: ["account alias rm taro@example.com info@example.com --yes"],
    load: account(m => m.removeAlias),
  },
];

const MESSAGES: readonly CommandSpec[] = [
  {
    usage: "msg add",
    summary: "store one message from standard input exactly as it is: no field added, no hooks",
    options: [
      { flags: "--account <address>", description: "whose; required" },
      { flags: "--mailbox <name>", description: "folder; default INBOX" },
      { flags: "--date <time>", description: "arrival, RFC 3339; default now" },
      { flags: "--flags <list>", description: "flags and keywords: '\\Seen,invoice'" },
      DRY_RUN,
    ],
    examples: [
      "msg add --account taro@example.com < mail.eml",
      "msg add --account taro@example.com --mailbox Archive --date 2020-01-02T03:04:05Z --flags '\\Seen' < mail.eml",
    ],
    load: msg(m => m.add),
  },
  {
    usage: "msg search [query...]",
    summary: "find messages: words, from: subject: tag: folder: account: before: after: larger: is:unread …",
    options: [LIMIT],
    examples: [
      "msg search account:taro@example.com is:unread",
      "msg search -- invoice -paid              words that begin with - stand behind --",
      "msg search 'subject:\"monthly report\"' after:2026-01-01 -from:robot",
    ],
    load: msg(m => m.search),
  },
  {
    usage: "msg show <id>",
    summary: "one message, by id, queue id or Message-ID",
    examples: ["msg show 4WsRJ55TZyz1J2k", "msg show '<20260102.1@example.com>'"],
    load: msg(m => m.show),
  },
  {
    usage: "msg raw [id]",
    summary: "the bytes that a mail client would get",
    options: [
      { flags: "--account <address>", description: "the copy of this account" },
      { flags: "--mailbox <name>", description: "the copy in this folder" },
      { flags: "--uid <n>", description: "without an id: account, mailbox and UID say which" },
    ],
    examples: [
      "msg raw 4WsRJ55TZyz1J2k > mail.eml",
      "msg raw --account taro@example.com --mailbox INBOX --uid 7",
    ],
    load: msg(m => m.raw),
  },
  {
    usage: "explain <id>",
    summary: "what happened to a message, when and why; by id, queue id or Message-ID",
    examples: ["explain 4WsRJ55TZyz1J2k", "explain '<20260102.1@example.com>' -f json"],
    load: async () => (await import("./commands/explain.ts")).explain,
  },
];

const JOBS: readonly CommandSpec[] = [
  {
    usage: "job list",
    summary: "background jobs, newest first",
    options: [
      { flags: "--kind <name>", description: "only of this kind" },
      { flags: "--state <state>", description: "queued, running, done, failed or canceled" },
      LIMIT,
    ],
    examples: ["job list", "job list --state failed"],
    load: job(m => m.list),
  },
  {
    usage: "job show <id>",
    summary: "one background job",
    examples: ["job show 17"],
    load: job(m => m.show),
  },
  {
    usage: "job cancel <id>",
    summary: "end a job: at once when it waits, soon when it runs",
    examples: ["job cancel 17"],
    load: job(m => m.cancel),
  },
  {
    usage: "job retry <id>",
    summary: "run a failed or canceled job again",
    examples: ["job retry 17"],
    load: job(m => m.retry),
  },
];

export const COMMANDS: readonly CommandSpec[] = [
  ...SERVICE,
  ...SITE_COMMANDS,
  ...CONFIG,
  ...ACCOUNTS,
  ...STAGE_COMMANDS,
  ...MESSAGES,
  ...DKIM_COMMANDS,
  ...HELD_COMMANDS,
  ...SEND_COMMANDS,
  ...HOOK_COMMANDS,
  ...JOBS,
  ...PLUGIN_COMMANDS,
  ...CONSENT_COMMANDS,
  ...AUDIT_COMMANDS,
  ...PLUGIN_LIMITS_COMMANDS,
  ...TRANSFER_COMMANDS,
  ...LOSS_COMMANDS,
];
