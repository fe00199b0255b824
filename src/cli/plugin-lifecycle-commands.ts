/** The part of the command table about the life of a plugin. */
import type { CommandSpec, Handler, OptionSpec } from "./command.ts";

const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };
const YES: OptionSpec = { flags: "--yes", description: "do it without asking" };
const DOWNGRADE: OptionSpec = {
  flags: "--downgrade",
  description: "an older version than was ever here is meant",
};
const CASCADE: OptionSpec = { flags: "--cascade", description: "plugins that need it as well" };

const life = (pick: (m: typeof import("./commands/plugin-lifecycle.ts")) => Handler) => async () =>
  pick(await import("./commands/plugin-lifecycle.ts"));

export const PLUGIN_LIFECYCLE_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "plugin list",
    summary: "every plugin: version, state and why, signature, where payloads go",
    examples: ["plugin list", "plugin list -f json"],
    load: life(m => m.list),
  },
  {
    usage: "plugin show <id>",
    summary: "one plugin: what it was granted and by whom, its hooks, versions to go back to, what waits",
    examples: ["plugin show com.example.spam-filter"],
    load: life(m => m.show),
  },
  {
    usage: "plugin health <id>",
    summary:
      "ask a plugin how it is: its circuit, crashes, what really limits it, where it connected to; exit 1 unless ok",
    examples: ["plugin health com.example.spam-filter", "plugin health com.example.spam-filter -f json"],
    load: life(m => m.health),
  },
  {
    usage: "plugin install <file>",
    summary: "install a package, or by its id a plugin of a development folder; nothing of it runs yet",
    options: [DOWNGRADE, DRY_RUN],
    examples: ["plugin install spam-filter-1.0.0.mairust-plugin", "plugin install com.example.in-a-folder"],
    load: life(m => m.install),
  },
  {
    usage: "plugin approve <id>",
    summary: "agree to what a plugin asks for, or to less; a version that waits takes its place then",
    options: [
      {
        flags: "--grant <right=value>",
        description:
          "only this right, several times: read_headers=Subject,From read_body=preview write_tags=true",
        repeats: true,
      },
      { flags: "--digest <sha256>", description: "refuse anything but what was reviewed" },
      DRY_RUN,
    ],
    examples: [
      "plugin approve com.example.spam-filter",
      "plugin approve com.example.spam-filter --grant read_headers=true --grant write_tags=true",
    ],
    load: life(m => m.approve),
  },
  {
    usage: "plugin enable <id>",
    summary: "start a plugin and register its hooks, in mode shadow",
    options: [{ flags: "--mode <mode>", description: "of its hooks: shadow, canary, enforce" }, DRY_RUN],
    examples: [
      "plugin enable com.example.spam-filter",
      "plugin enable com.example.spam-filter --mode enforce",
    ],
    load: life(m => m.enable),
  },
  {
    usage: "plugin disable <id>",
    summary: "end a plugin: its hooks do not exist until it is enabled again",
    options: [CASCADE, DRY_RUN],
    examples: ["plugin disable com.example.spam-filter"],
    load: life(m => m.disable),
  },
  {
    usage: "plugin upgrade <file>",
    summary: "another version in the place of the one that runs; it waits when it asks for more",
    options: [DOWNGRADE, DRY_RUN],
    examples: ["plugin upgrade spam-filter-1.1.0.mairust-plugin --dry-run"],
    load: life(m => m.upgrade),
  },
  {
    usage: "plugin rollback <id>",
    summary: "back to the version before",
    options: [DRY_RUN],
    examples: ["plugin rollback com.example.spam-filter"],
    load: life(m => m.rollback),
  },
  {
    usage: "plugin uninstall <id>",
    summary: "remove a plugin's files; settings, hooks and logs are kept",
    options: [
      {
        flags: "--purge",
        description: "also its record, hooks by command, settings, secrets, kept files and logs",
      },
      CASCADE,
      DRY_RUN,
      YES,
    ],
    examples: ["plugin uninstall com.example.spam-filter --yes"],
    load: life(m => m.uninstall),
  },
];
