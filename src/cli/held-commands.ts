/** The commands for held mail, as `commands.ts` has the others. */
import type { CommandSpec, Handler, OptionSpec } from "./command.ts";

const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };

const held = (pick: (m: typeof import("./commands/held.ts")) => Handler) => async () =>
  pick(await import("./commands/held.ts"));

export const HELD_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "held list",
    summary: "mail that waits for somebody's decision, newest first",
    options: [
      { flags: "--account <address>", description: "only of this account" },
      {
        flags: "--state <state>",
        description: "held, releasing, released, rejected, deleted, expired or all",
      },
      { flags: "--hook <name>", description: "only what this hook holds" },
      { flags: "--limit <n>", description: "most lines" },
    ],
    examples: ["held list", "held list --account taro@example.com -f json", "held list --state all"],
    load: held(m => m.list),
  },
  {
    usage: "held show <id>",
    summary: "one held message: why, until when, its header fields, text and attachments",
    examples: ["held show 019abcde-0000-7000-8000-000000000001"],
    load: held(m => m.show),
  },
  {
    usage: "held release [id...]",
    summary: "run the remaining hooks and deliver; exit 1 when something stays held",
    options: [
      { flags: "--to <address>", description: "store it for this account, not for its recipients" },
      DRY_RUN,
    ],
    examples: ["held release ID", "held release ID ID --to postmaster@example.com"],
    load: held(m => m.release),
  },
  {
    usage: "held reject [id...]",
    summary: "end it; the sender of outbound mail gets a bounce, nobody hears of inbound mail",
    options: [DRY_RUN],
    examples: ["held reject ID --dry-run", "held reject ID"],
    load: held(m => m.reject),
  },
  {
    usage: "held delete [id...]",
    summary: "delete held mail; nobody hears of it",
    options: [DRY_RUN, { flags: "--yes", description: "do it without asking" }],
    examples: ["held delete ID --yes"],
    load: held(m => m.remove),
  },
];
