/** The part of the command table about how far plugins may go: promotion, differences, bypass, what they cost. */
import type { CommandSpec, Handler } from "./command.ts";

const modes = (pick: (m: typeof import("./commands/hook-modes.ts")) => Handler) => async () =>
  pick(await import("./commands/hook-modes.ts"));

export const PLUGIN_LIMITS_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "hook promote <name>",
    summary: "one step further, shadow to canary to enforce, if its figures of the last window allow it",
    options: [
      { flags: "--force", description: "whatever its figures say" },
      { flags: "--dry-run", description: "say what would happen, change nothing" },
    ],
    examples: ["hook promote spam", "hook promote spam --dry-run", "hook promote spam --force"],
    load: modes(m => m.promote),
  },
  {
    usage: "hook diffs <name>",
    summary: "what a hook in shadow, or in the shadow part of a canary, would have made otherwise",
    options: [{ flags: "--limit <n>", description: "most examples, newest first; default 20" }],
    examples: ["hook diffs spam", "hook diffs spam --limit 100 -f json"],
    load: modes(m => m.diffs),
  },
  {
    usage: "bypass on",
    summary: "call no plugin: mail passes, marked as unchecked; on all nodes, until it is ended",
    options: [
      { flags: "--plugin <id>", description: "only this plugin is not called" },
      { flags: "--for <time>", description: "ends by itself: 90s, 30m, 1h, 2d" },
      { flags: "--dry-run", description: "say what would happen, change nothing" },
    ],
    examples: ["bypass on --for 1h", "bypass on --plugin com.example.spam-filter --for 30m"],
    load: modes(m => m.bypassOn),
  },
  {
    usage: "bypass off",
    summary: "call plugins again",
    options: [
      { flags: "--plugin <id>", description: "only this one" },
      { flags: "--dry-run", description: "say what would happen, change nothing" },
    ],
    examples: ["bypass off", "bypass off --plugin com.example.spam-filter"],
    load: modes(m => m.bypassOff),
  },
  {
    usage: "bypass status",
    summary: "which plugins are not called, until when, and who said so",
    examples: ["bypass status", "bypass status -f json"],
    load: modes(m => m.bypassStatus),
  },
  {
    usage: "plugin usage [id]",
    summary: "calls, tokens and cost by day (UTC), and how much of budgets and caps is used",
    options: [{ flags: "--days <n>", description: "today and the days before; default 7" }],
    examples: ["plugin usage", "plugin usage com.example.spam-filter --days 30 -f json"],
    load: modes(m => m.usage),
  },
];
