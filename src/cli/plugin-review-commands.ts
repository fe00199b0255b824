/** The part of the command table about consent, settings and the record of both, as `commands.ts` has the others. */
import type { CommandSpec } from "./command.ts";

export const CONSENT_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "plugin review <id>",
    summary: "what a plugin asks for, in plain sentences, with warnings and a rating of its risk",
    options: [{ flags: "--lang <language>", description: "en or ja; default: the language of the shell" }],
    examples: ["plugin review com.example.spam-filter", "plugin review com.example.spam-filter --lang ja"],
    load: async () => (await import("./commands/plugin-review.ts")).review,
  },
  {
    usage: "plugin settings <id> [settings...]",
    summary: "what a plugin is set to; key=value changes it, key=- takes a secret from standard input",
    options: [
      { flags: "--unset <key>", description: "back to the default; may be repeated", repeats: true },
      { flags: "--dry-run", description: "say what would happen, change nothing" },
    ],
    examples: [
      "plugin settings com.example.spam-filter",
      "plugin settings com.example.spam-filter threshold=0.9 --unset mode",
      "plugin settings com.example.spam-filter api_key=- < key.txt",
    ],
    load: async () => (await import("./commands/plugin-settings.ts")).settings,
  },
];

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
    options: [
      { flags: "--yes", description: "do it without asking" },
      { flags: "--dry-run", description: "say what would happen, change nothing" },
    ],
    examples: ["key rotate --dry-run", "key rotate --yes -f json"],
    load: async () => (await import("./commands/key.ts")).rotate,
  },
];
