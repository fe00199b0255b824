/** The part of the command table for authors of plugins. All but `plugin record ID` work without the service. */
import type { CommandSpec, Handler, OptionSpec } from "./command.ts";

const author = (pick: (m: typeof import("./commands/plugin-author.ts")) => Handler) => async () =>
  pick(await import("./commands/plugin-author.ts"));

const BARE: OptionSpec = {
  flags: "--bare",
  description: "as a plain child process, without the sandbox that the service would use",
};
const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };

export const AUTHOR_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "plugin init <target>",
    summary:
      "a new plugin that works: manifest, program, fixtures, README, SDK; target is a name or a folder",
    options: [
      { flags: "--lang <language>", description: "node or python; required" },
      { flags: "--kind <kind>", description: "classify, tag, notify or dlp; required" },
      { flags: "--id <id>", description: "reverse DNS name; default com.example.NAME" },
      DRY_RUN,
    ],
    examples: [
      "plugin init my-filter --lang node --kind classify",
      "plugin init ./filters/mine --lang python --kind dlp --id org.example.mine",
    ],
    load: author(m => m.init),
  },
  {
    usage: "plugin lint [folder]",
    summary: "check a plugin as install does: every error with its line, and what a review warns of",
    examples: ["plugin lint", "plugin lint ./my-filter", "plugin lint my-filter/plugin.toml -f json"],
    load: author(m => m.lint),
  },
  {
    usage: "plugin test [folder]",
    summary: "call a plugin with its fixtures and compare the verdicts; exit 1 when one differs",
    options: [
      { flags: "--fixture <name>", description: "only this one; may be repeated", repeats: true },
      { flags: "--update", description: "take what the plugin answers as expected, where it differs" },
      BARE,
    ],
    examples: ["plugin test", "plugin test ./my-filter --fixture invoice", "plugin test --update"],
    load: author(m => m.test),
  },
  {
    usage: "plugin dev [folder]",
    summary: "run a plugin while you write it: after each save its fixtures are run; Ctrl-C ends it",
    options: [
      { flags: "--sample <name>", description: "call it with this sample instead of the fixtures" },
      BARE,
    ],
    examples: ["plugin dev", "plugin dev ./my-filter --sample invoice"],
    load: author(m => m.dev),
  },
  {
    usage: "plugin trigger [folder]",
    summary: "call a plugin once: what it was sent, what it answered, what was denied, how long it took",
    options: [
      { flags: "--sample <name>", description: "a message that is built in; default plain, list shows them" },
      { flags: "--message <file>", description: "a message from a file; - is standard input" },
      { flags: "--point <point>", description: "default: the first of hooks.on" },
      { flags: "--from <address>", description: "envelope sender" },
      { flags: "--to <address>", description: "recipient; may be repeated", repeats: true },
      { flags: "--payload", description: "show all that was sent" },
      BARE,
    ],
    examples: [
      "plugin trigger --sample invoice",
      "plugin trigger ./my-filter --message mail.eml --point pre_delivery --payload",
    ],
    load: author(m => m.trigger),
  },
  {
    usage: "plugin record [id]",
    summary: "a fixture from a stored message or a file: addresses, names, numbers and words are replaced",
    options: [
      { flags: "--file <file>", description: "a message from a file instead; - is standard input" },
      { flags: "--plugin <folder>", description: "the plugin's folder; default: this one" },
      { flags: "--name <name>", description: "of the fixture; default recorded-1, recorded-2 …" },
      { flags: "--keep-text", description: "keep subject and texts as they are, but for addresses" },
      DRY_RUN,
    ],
    examples: [
      "plugin record 4WsRJ55TZyz1J2k --plugin ./my-filter --name wrong-verdict",
      "plugin record --file mail.eml --dry-run",
    ],
    load: author(m => m.record),
  },
];
