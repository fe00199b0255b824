/** The commands for DKIM keys, as `commands.ts` has the others. */
import type { CommandSpec, Handler, OptionSpec } from "./command.ts";

const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };
const SELECTOR: OptionSpec = { flags: "--selector <name>", description: "which key" };

const dkim = (pick: (m: typeof import("./commands/dkim.ts")) => Handler) => async () =>
  pick(await import("./commands/dkim.ts"));

export const DKIM_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "dkim add <domain>",
    summary: "a key that mail we send for the domain is signed with; prints the record for DNS",
    options: [
      { flags: "--selector <name>", description: "its name in DNS; default: m and the day" },
      { flags: "--type <type>", description: "rsa (2048 bits, default) or ed25519" },
      { flags: "--key-file <file>", description: "a private key in PEM; default: a new one is made" },
      DRY_RUN,
    ],
    examples: ["dkim add example.com", "dkim add example.com --selector mail --key-file mail.private"],
    load: dkim(m => m.add),
  },
  {
    usage: "dkim list <domain>",
    summary: "the keys of a domain",
    examples: ["dkim list example.com -f json"],
    load: dkim(m => m.list),
  },
  {
    usage: "dkim show <domain>",
    summary: "the records of its keys, as lines of a zone file",
    options: [SELECTOR],
    examples: ["dkim show example.com", "dkim show example.com --selector mail"],
    load: dkim(m => m.show),
  },
  {
    usage: "dkim check <domain>",
    summary: "are the records in DNS? exit 0 when all are",
    examples: ["dkim check example.com"],
    load: dkim(m => m.check),
  },
  {
    usage: "dkim rm <domain>",
    summary: "sign no longer with a key; its record may go when no signed mail is on its way",
    options: [SELECTOR, DRY_RUN, { flags: "--yes", description: "do it without asking" }],
    examples: ["dkim rm example.com --selector m20260101 --yes"],
    load: dkim(m => m.remove),
  },
];
