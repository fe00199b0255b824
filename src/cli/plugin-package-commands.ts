/** The part of the command table about packages of plugins, and about whom the service trusts to vouch for them. */
import type { CommandSpec, Handler, OptionSpec } from "./command.ts";

const DRY_RUN: OptionSpec = { flags: "--dry-run", description: "say what would happen, change nothing" };
const YES: OptionSpec = { flags: "--yes", description: "do it without asking" };

const packages = (pick: (m: typeof import("./commands/plugin-package.ts")) => Handler) => async () =>
  pick(await import("./commands/plugin-package.ts"));
const keys = (pick: (m: typeof import("./commands/plugin-keys.ts")) => Handler) => async () =>
  pick(await import("./commands/plugin-keys.ts"));

export const PLUGIN_PACKAGE_COMMANDS: readonly CommandSpec[] = [
  {
    usage: "plugin package <folder>",
    summary: "make a package of a plugin's folder; the same files give the same bytes",
    options: [
      { flags: "--out <file>", description: "default: <id>-<version>.mairust-plugin in the current folder" },
      { flags: "--force", description: "write over a file that is there" },
      DRY_RUN,
    ],
    examples: [
      "plugin package ./spam-filter",
      "plugin package ./spam-filter --out build/filter.mairust-plugin --force",
    ],
    load: packages(m => m.pack),
  },
  {
    usage: "plugin keygen <file>",
    summary:
      "a new Ed25519 key to sign packages with: the private part into <file>, the public one into <file>.pub",
    examples: ["plugin keygen ~/.config/mairust/plugin.key"],
    load: packages(m => m.keygen),
  },
  {
    usage: "plugin sign <package>",
    summary: "put a signature into a package; signatures of other keys stay",
    options: [
      {
        flags: "--key <file>",
        description: "private key, PEM: of keygen, or of openssl (Ed25519, RSA); required",
      },
      { flags: "--role <role>", description: "developer (default) or marketplace" },
      { flags: "--out <file>", description: "default: the package itself" },
      { flags: "--force", description: "write over a file that is there" },
      DRY_RUN,
    ],
    examples: [
      "plugin sign com.example.filter-1.0.0.mairust-plugin --key plugin.key",
      "plugin sign com.example.filter-1.0.0.mairust-plugin --key market.pem --role marketplace",
    ],
    load: packages(m => m.sign),
  },
  {
    usage: "plugin verify <package>",
    summary:
      "read a package as install does, and check its signatures; exit 1 when one is bad, or a --key made none",
    options: [
      {
        flags: "--key <file>",
        description: "public key, PEM, that must have signed it; may be repeated",
        repeats: true,
      },
    ],
    examples: [
      "plugin verify com.example.filter-1.0.0.mairust-plugin",
      "plugin verify com.example.filter-1.0.0.mairust-plugin --key developer.pub",
    ],
    load: packages(m => m.verify),
  },
  {
    usage: "plugin keys list",
    summary: "keys that we trust",
    examples: ["plugin keys list"],
    load: keys(m => m.list),
  },
  {
    usage: "plugin keys trust <file>",
    summary: "trust a public key: packages that it signs may be installed",
    options: [
      {
        flags: "--role <role>",
        description: "private (default: your own, or a developer's), or marketplace",
      },
      { flags: "--label <text>", description: "whose it is; default: the name of the file" },
      DRY_RUN,
    ],
    examples: [
      "plugin keys trust plugin.key.pub --label 'our own plugins'",
      "plugin keys trust market.pem --role marketplace --label 'Example market'",
    ],
    load: keys(m => m.trust),
  },
  {
    usage: "plugin keys rm <key>",
    summary: "trust a key no longer; what it signed counts as unsigned",
    options: [DRY_RUN, YES],
    examples: ["plugin keys rm 4f0c… --yes"],
    load: keys(m => m.remove),
  },
  {
    usage: "plugin revoke <what>",
    summary:
      "let nobody begin with it, and end it where it runs: a plugin, one version, one package, or all that a key signed",
    options: [
      { flags: "--reason <text>", description: "for whoever asks later; required" },
      {
        flags: "--severity <severity>",
        description: "malicious (default): it ends; vulnerable: it is warned of and goes on",
      },
      DRY_RUN,
      YES,
    ],
    examples: [
      "plugin revoke com.example.filter --reason 'sends mail home' --yes",
      "plugin revoke com.example.filter@1.2.0 --severity vulnerable --reason 'CVE-2026-1234' --yes",
      "plugin revoke key:4f0c… --reason 'stolen' --yes",
      "plugin revoke package:9a1b… --reason 'not what was published' --yes",
    ],
    load: keys(m => m.revoke),
  },
  {
    usage: "plugin unrevoke <what>",
    summary: "take a revocation back",
    options: [DRY_RUN, YES],
    examples: ["plugin unrevoke com.example.filter@1.2.0 --yes"],
    load: keys(m => m.unrevoke),
  },
  {
    usage: "plugin revocations",
    summary: "what was revoked, by whom and why",
    examples: ["plugin revocations", "plugin revocations -f json"],
    load: keys(m => m.revocations),
  },
];
