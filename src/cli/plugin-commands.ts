/** The part of the command table about plugins. */
import type { CommandSpec, Handler } from "./command.ts";
import { AUTHOR_COMMANDS } from "./plugin-author-commands.ts";
import { PLUGIN_LIFECYCLE_COMMANDS } from "./plugin-lifecycle-commands.ts";
import { PLUGIN_PACKAGE_COMMANDS } from "./plugin-package-commands.ts";

const plugin = (pick: (m: typeof import("./commands/plugin.ts")) => Handler) => async () =>
  pick(await import("./commands/plugin.ts"));

export const PLUGIN_COMMANDS: readonly CommandSpec[] = [
  ...AUTHOR_COMMANDS,
  {
    usage: "undo",
    summary: "take back what a plugin changed in stored mail: tags, flags, folders, metadata",
    options: [
      { flags: "--plugin <id>", description: "whose changes" },
      { flags: "--plugin-version <version>", description: "only of this version" },
      { flags: "--hook <name>", description: "only of this hook" },
      { flags: "--since <time>", description: "from then on: RFC 3339, or 30m, 12h, 7d ago" },
      { flags: "--until <time>", description: "before then" },
      { flags: "--account <address>", description: "only in this account" },
      { flags: "--no-wait", description: "do not wait for the end; job show tells of it" },
      { flags: "--dry-run", description: "say what would happen, change nothing" },
      { flags: "--yes", description: "do it without asking" },
    ],
    examples: [
      "undo --plugin com.example.spam-filter --since 2h --dry-run",
      "undo --plugin com.example.spam-filter --plugin-version 1.3.0 --yes",
    ],
    load: async () => (await import("./commands/undo.ts")).undo,
  },
  ...PLUGIN_LIFECYCLE_COMMANDS,
  {
    usage: "plugin logs <id>",
    summary: "what a plugin wrote to its log, the last lines",
    options: [
      { flags: "--lines <n>", description: "so many; default 100" },
      { flags: "--follow", description: "and what comes, until Ctrl-C" },
    ],
    examples: ["plugin logs com.example.spam-filter", "plugin logs com.example.spam-filter --follow"],
    load: plugin(m => m.logs),
  },
  {
    usage: "plugin rotate <id>",
    summary: "a new secret for a plugin that is called by HTTP; it is printed once",
    options: [
      {
        flags: "--grace <seconds>",
        description: "how long the old one signs too; default 86400, 0 when it is known to others",
      },
    ],
    examples: ["plugin rotate com.example.spam-filter", "plugin rotate com.example.spam-filter --grace 0"],
    load: plugin(m => m.rotate),
  },
  ...PLUGIN_PACKAGE_COMMANDS,
];
