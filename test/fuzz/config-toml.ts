/** Fuzz target: configuration text and `-o` options: a configuration, or problems with their places; never anything else. */
import { type MergeState, mergeDocument } from "../../src/platform/config/merge.ts";
import { mergeEnvironment, mergeOption } from "../../src/platform/config/overrides.ts";
import { keyText } from "../../src/platform/config/problem.ts";
import { defaultsOf, ROOT } from "../../src/platform/config/schema-node.ts";
import { checkRules } from "../../src/platform/config/semantic.ts";
import { indexPositions, parseToml, TomlSyntaxError } from "../../src/platform/config/toml.ts";
import type { Config } from "../../src/wire/config/schema.ts";
import type { Random } from "./lib/random.ts";
import { check } from "./lib/target.ts";
import { tomlDocument } from "./lib/toml-grammar.ts";

export const name = "config-toml";
export const words = [
  "[lmtp]\n",
  "[[hooks]]\n",
  '[domains."a.b"]\n',
  "[plugin.x]\n",
  "listen = ",
  '"unix:/a"',
  '"inet:[::1]:24"',
  "\n",
  "=",
  '"',
  "__proto__",
  "\\u0000",
  "{",
  "}",
  "[",
  "]",
  ".",
  "\r",
];
export const seeds = [
  'hostname = "a.b"\nroles = ["lmtp"]\n[lmtp]\nlisten = ["inet:127.0.0.1:24", "unix:/run/x"]\n[imap]\nlisten = ["inet:127.0.0.1:143"]\n',
  '[[hooks]]\nname = "h"\nplugin = "p"\npoint = "pre_delivery"\ntimeout_ms = 100\nfilter = { size_min_bytes = 5, size_max_bytes = 1, recipient = "(" }\n[domains."example.com"]\naccounts = "auto"\n',
  "lmtp.connections=5",
  "a = 1\na = 2",
  `a = ${"{ a = ".repeat(100)}`,
].map(text => Buffer.from(text));

const TABLES = [
  "log",
  "limits",
  "lmtp",
  "imap",
  "api",
  "database",
  "blobs",
  "plugins",
  "hooks",
  "domains.x",
  'domains."a.b"',
  "defaults",
  "metrics",
  "plugin.x",
  "x",
];
const KEYS = [
  "hostname",
  "roles",
  "data_dir",
  "listen",
  "connections",
  "level",
  "format",
  "url",
  "path",
  "accounts",
  "stage",
  "name",
  "plugin",
  "point",
  "timeout_ms",
  "filter",
  "recipient",
  "size_min_bytes",
  "size_max_bytes",
  "header",
  "socket_group",
  "tls_cert",
  "x",
];

export function generate(random: Random): Uint8Array {
  return Buffer.from(tomlDocument(random, TABLES, KEYS));
}

/** @throws {Error} an invariant does not hold */
export async function run(input: Uint8Array): Promise<void> {
  const source = Buffer.from(input).toString("utf8");
  await readFile(source);
  const state = newState();
  mergeOption(state, source);
  mergeEnvironment(state, {
    [`MAIRUST_${source.slice(0, 30)}`]: source,
    MAIRUST_LMTP__CONNECTIONS: source,
    MAIRUST_ROLES: source,
  });
  await checkRules(configOf(state), state.origins);
  checkPrototype();
}

/** By construction, as in `load.ts`. */
const configOf = (state: MergeState) => state.tree as unknown as Config;

function newState(): MergeState {
  return { tree: defaultsOf(ROOT), origins: new Map(), problems: [] };
}

async function readFile(source: string): Promise<void> {
  const state = newState();
  try {
    const document = parseToml(source);
    const positions = await indexPositions(source);
    mergeDocument(
      state,
      { locate: path => ({ kind: "file", file: "x.toml", ...positions.find(path) }), replacesLists: false },
      ROOT,
      document,
    );
  } catch (error) {
    if (!(error instanceof TomlSyntaxError)) throw error;
    check(error.position.line >= 1, "a syntax error has a place");
    return;
  }
  const problems = [...state.problems, ...(await checkRules(configOf(state), state.origins))];
  const lines = source.split("\n").length;
  for (const { origin, key } of problems) {
    if (origin.kind === "file")
      check(origin.line >= 1 && origin.line <= lines, `a problem stands in the file: ${key}`);
  }
  for (const key of state.origins.keys()) check(key !== "" && keyText([key]) !== "", "an origin has its key");
}

/** A key such as `__proto__` must not reach what all objects share. */
function checkPrototype(): void {
  check(Object.keys(Object.prototype).length === 0, "the prototype of all objects is as it was");
}
