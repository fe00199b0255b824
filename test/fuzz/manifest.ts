/** Fuzz target: the reader of `plugin.toml`: a manifest that keeps its schema, or one error with a place for each problem. */
import { parseManifest } from "../../src/plugins/manifest.ts";
import { ManifestError } from "../../src/plugins/problem.ts";
import { checkSchema } from "../../src/plugins/schema-check.ts";
import { manifestSchema } from "../../src/wire/manifest.ts";
import type { Random } from "./lib/random.ts";
import { check } from "./lib/target.ts";
import { tomlDocument } from "./lib/toml-grammar.ts";

export const name = "manifest";
export const words = [
  "[entry]\n",
  "[hooks]\n",
  "[[settings]]\n",
  "[permissions]\n",
  "[limits]\n",
  "\n",
  " = ",
  '"',
  "'''",
  '"""',
  "[",
  "]",
  "{",
  "}",
  "__proto__",
  "\\u0000",
  "\xef\xbb\xbf",
  "#",
];

const GOOD = `id = "com.example.filter"
name = "Filter"
version = "1.0.0"
depends = ["other.plugin>=1.2.0"]
[compat]
mairust_min = "0.3.0"
mairust_max = "0.5.x"
[entry]
type = "hook"
protocol = "http"
endpoint = "http://localhost:8081/hook"
[hooks]
on = ["post_receive", "pre_delivery"]
priority = 100
timeout_ms = 2000
on_timeout = "tempfail"
filter_recipient_matches = ".*@example.com"
[permissions]
read_headers = ["subject"]
read_body = "preview"
write_tags = true
[limits]
cpu_ms = 500
network = "none"
`;

export const seeds = [
  GOOD,
  "",
  'id = "a"\nid = "b"',
  `a = ${"[".repeat(500)}`,
  `${GOOD}[settings.x]\ntype = "string"\ndefault = 1\n`,
].map(text => Buffer.from(text));

const TABLES = [
  "compat",
  "entry",
  "hooks",
  "permissions",
  "limits",
  "logging",
  "settings",
  "settings.x",
  "ui",
  "x",
  "hooks.x",
];
const KEYS = [
  "id",
  "name",
  "version",
  "author",
  "license",
  "depends",
  "mairust_min",
  "mairust_max",
  "type",
  "protocol",
  "endpoint",
  "command",
  "on",
  "priority",
  "timeout_ms",
  "on_timeout",
  "filter_recipient_matches",
  "read_headers",
  "read_body",
  "write_tags",
  "decide",
  "cpu_ms",
  "network",
  "level",
  "default",
  "secret",
  "x",
];

export function generate(random: Random): Uint8Array {
  return Buffer.from(
    random.oneIn(3) ? `${GOOD}${tomlDocument(random, TABLES, KEYS)}` : tomlDocument(random, TABLES, KEYS),
  );
}

/** @throws {Error} an invariant does not hold */
export async function run(input: Uint8Array): Promise<void> {
  const source = Buffer.from(input).toString("utf8");
  try {
    const manifest = await parseManifest(source, "plugin.toml");
    check(checkSchema(manifestSchema, manifest).length === 0, "a manifest that keeps its schema");
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    const lines = source.split("\n").length;
    check(error.problems.length > 0, "an error names a problem");
    check(
      error.problems.every(({ line }) => line >= 1 && line <= lines),
      "a problem stands in the file",
    );
  }
}
