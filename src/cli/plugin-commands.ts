/** The part of the command table about plugins. */
import type { CommandSpec, Handler } from "./command.ts";
import { AUTHOR_COMMANDS } from "./plugin-author-commands.ts";
import { PLUGIN_PACKAGE_COMMANDS } from "./plugin-package-commands.ts";

const plugin = (pick: (m: typeof import("./commands/plugin.ts")) => Handler) => async () =>
  pick(await import("./commands/plugin.ts"));

export const PLUGIN_COMMANDS: readonly CommandSpec[] = [
  ...AUTHOR_COMMANDS,
  {
    usage: "plugin list",
    summary: "every plugin that was found: version, state and why, where payloads go",
    examples: ["plugin list", "plugin list -f json"],
    load: plugin(m => m.list),
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
