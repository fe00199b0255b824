/** The part of the command table about hooks and about what leaves for plugins. */
import type { CommandSpec, Handler, OptionSpec } from "./command.ts";

const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };
const LIMIT: OptionSpec = { flags: "--limit <n>", description: "most lines" };

const hook = (pick: (m: typeof import("./commands/hook.ts")) => Handler) => async () =>
  pick(await import("./commands/hook.ts"));

/** The keys of `[[hooks]]` that have an option of their own. */
const KEYS: readonly OptionSpec[] = [
  { flags: "--priority <n>", description: "lower ones run first; default 100" },
  { flags: "--timeout <ms>", description: "of one call; default 2000" },
  { flags: "--on-timeout <policy>", description: "allow, tempfail (default), reject or hold" },
  { flags: "--on-error <policy>", description: "allow, tempfail (default), reject or hold" },
  { flags: "--recipient <pattern>", description: "only mail to addresses that match" },
  { flags: "--sender <pattern>", description: "only mail from addresses that match" },
  {
    flags: "--set <key=value>",
    description: "any key of [[hooks]], as TOML writes it: parallel=true, filter.direction=inbound",
    repeats: true,
  },
];

export const HOOK_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "hook list",
    summary: "all hooks in the order in which they run, with where they come from and their state",
    examples: ["hook list", "hook list -f json"],
    load: hook(m => m.list),
  },
  {
    usage: "hook show <name>",
    summary: "one hook with all its keys",
    examples: ["hook show spam"],
    load: hook(m => m.show),
  },
  {
    usage: "hook add <name>",
    summary: "call a plugin at a point of the mail path; in shadow unless --mode says otherwise",
    options: [
      { flags: "--plugin <id>", description: "which plugin; required" },
      {
        flags: "--point <point>",
        description: "pre_receive, pre_delivery, post_receive or pre_send; required",
      },
      {
        flags: "--mode <mode>",
        description: "shadow (default), canary or enforce",
      },
      ...KEYS,
      DRY_RUN,
    ],
    examples: [
      "hook add spam --plugin com.example.spam-filter --point pre_delivery",
      "hook add spam --plugin com.example.spam-filter --point pre_delivery --mode enforce --recipient '.*@example.com' --on-error allow",
    ],
    load: hook(m => m.add),
  },
  {
    usage: "hook edit <name>",
    summary: "change a hook; what is not named stays",
    options: [
      { flags: "--plugin <id>", description: "call another plugin" },
      { flags: "--point <point>", description: "stand at another point" },
      ...KEYS,
      { flags: "--unset <key>", description: "back to the default; may be repeated", repeats: true },
      { flags: "--enable", description: "run it again" },
      { flags: "--disable", description: "keep it, but do not run it" },
      DRY_RUN,
    ],
    examples: [
      "hook edit spam --priority 50 --timeout 1500",
      "hook edit spam --set filter.size_max_bytes=100000 --unset filter.sender",
      "hook edit spam --disable",
    ],
    load: hook(m => m.edit),
  },
  {
    usage: "hook mode <name> <mode>",
    summary: "shadow (called, nothing applied), canary (applied to a part) or enforce; ends a demotion",
    options: [
      { flags: "--percent <n>", description: "of the messages, in mode canary" },
      { flags: "--for <whom>", description: "in mode canary: an account or a domain", repeats: true },
      DRY_RUN,
    ],
    examples: [
      "hook mode spam canary --percent 5",
      "hook mode spam canary --for taro@example.com --for test.example.com",
      "hook mode spam enforce",
      "hook mode spam shadow --dry-run",
    ],
    load: hook(m => m.mode),
  },
  {
    usage: "hook test <name>",
    summary: "call a hook once and see what it says; nothing is applied",
    options: [
      { flags: "--message <id>", description: "a stored message: id, queue id or Message-ID" },
      { flags: "--file <file>", description: "a message from a file; - is standard input" },
      { flags: "--from <address>", description: "envelope sender" },
      { flags: "--to <address>", description: "recipient; may be repeated", repeats: true },
      { flags: "--direction <which>", description: "inbound (default) or outbound" },
    ],
    examples: [
      "hook test spam",
      "hook test spam --message 4WsRJ55TZyz1J2k",
      "hook test spam --file mail.eml --from a@example.org --to taro@example.com",
    ],
    load: hook(m => m.test),
  },
  {
    usage: "hook rm <name>",
    summary: "remove a hook",
    options: [DRY_RUN, { flags: "--yes", description: "do it without asking" }],
    examples: ["hook rm spam --dry-run", "hook rm spam --yes"],
    load: hook(m => m.remove),
  },
  {
    usage: "ledger",
    summary: "what left for which plugin, newest first: fields, octets, destination, grants",
    options: [
      { flags: "--plugin <id>", description: "only to this plugin" },
      { flags: "--hook <name>", description: "only by this hook" },
      { flags: "--message <id>", description: "only of this message, by its id in our logs" },
      { flags: "--queue-id <id>", description: "only of messages with this queue id" },
      { flags: "--since <time>", description: "from then on: RFC 3339, or 30m, 12h, 7d ago" },
      { flags: "--until <time>", description: "before then" },
      LIMIT,
    ],
    examples: ["ledger --since 1h", "ledger --plugin com.example.spam-filter -f json"],
    load: async () => (await import("./commands/ledger.ts")).ledger,
  },
];
