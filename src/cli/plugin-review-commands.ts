/** The part of the command table about consent, settings and the record of both, as `commands.ts` has the others. */
import type { CommandSpec } from "./command.ts";

export const AUDIT_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "audit",
    summary: "who did what to what, newest first",
    options: [
      { flags: "--actor <name>", description: "only by this one, e.g. local:root" },
      {
        flags: "--action <action>",
        description: "only this, e.g. plugin.approve; plugin. for all about plugins",
      },
      { flags: "--object <id>", description: "only what was done to this" },
      { flags: "--since <time>", description: "from then on: RFC 3339, or 30m, 12h, 7d ago" },
      { flags: "--until <time>", description: "before then" },
      { flags: "--limit <n>", description: "most lines" },
      { flags: "--export", description: "everything that fits, as JSON lines" },
    ],
    examples: ["audit --since 7d", "audit --action hook. -f json", "audit --export > audit.jsonl"],
    load: async () => (await import("./commands/audit.ts")).audit,
  },
  {
    usage: "key rotate",
    summary: "a new master key in key_file; everything that is sealed with it is sealed again",
    options: [{ flags: "--yes", description: "do it without asking" }],
    examples: ["key rotate", "key rotate --yes -f json"],
    load: async () => (await import("./commands/key.ts")).rotate,
  },
];
