/** `mairust config …`: needs no service. */
import { DEFAULT_CONFIG_FILE, loadConfig } from "../../platform/config/load.ts";
import { ConfigError, type ConfigProblem, originText } from "../../platform/config/problem.ts";
import { configJsonSchema, configReference } from "../../platform/config/reference.ts";
import { listConfig, type ShowMode, type ShownKey, showConfig } from "../../platform/config/show.ts";
import type { CommandContext } from "../command.ts";
import { EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { type Column, printRows } from "../output.ts";

const COLUMNS: readonly Column<ShownKey>[] = [
  { title: "KEY", value: entry => entry.key },
  { title: "VALUE", value: entry => entry.value ?? null },
  { title: "ORIGIN", value: entry => originText(entry.origin) },
];

function modeOf({ options }: CommandContext): ShowMode {
  const asked = (["n", "a", "d"] as const).filter(mode => options.has(mode));
  if (asked.length > 1) throw usageError("-n, -a and -d exclude each other");
  return asked[0] ?? "a";
}

/** Prints TOML, unless `-f` asks for something else. */
export async function show(context: CommandContext): Promise<void> {
  const { terminal, format, formatAsked, options } = context;
  const mode = modeOf(context);
  const loaded = await loadConfig(context.load);
  const rows = listConfig(loaded, mode);
  if (!formatAsked) terminal.out(showConfig(loaded, mode, options.has("origin")));
  else if (format === "table" || format === "tab") printRows(terminal, format, rows, COLUMNS);
  else printRows(terminal, format, rows.map(plainKey), []);
}

function plainKey({ key, data, origin }: ShownKey) {
  return { key, value: data ?? null, origin: originText(origin) };
}

const PROBLEM_COLUMNS: readonly Column<ConfigProblem>[] = [
  { title: "ORIGIN", value: problem => originText(problem.origin) },
  { title: "KEY", value: problem => problem.key },
  { title: "PROBLEM", value: problem => problem.text },
];

/** Exit 78 with every problem when it is wrong: as text on standard error, or with `-f` as data on standard output. */
export async function check({ terminal, load, format, formatAsked }: CommandContext): Promise<ExitCode> {
  const loaded = await loadConfig(load).catch((error: unknown) => {
    if (formatAsked && error instanceof ConfigError) return error;
    throw error;
  });
  if (formatAsked) {
    const problems = loaded instanceof ConfigError ? loaded.problems : [];
    if (format === "table" || format === "tab") printRows(terminal, format, problems, PROBLEM_COLUMNS);
    else printRows(terminal, format, problems.map(plainProblem), []);
    return problems.length === 0 ? EXIT.ok : EXIT.configuration;
  }
  if (loaded instanceof ConfigError) throw loaded;
  const { files, origins } = loaded;
  const from = files.length === 0 ? `no file: there is no ${DEFAULT_CONFIG_FILE}` : files.join(", ");
  terminal.out(`the configuration is valid: ${origins.size} keys set (${from})\n`);
  return EXIT.ok;
}

/** Line and column are null where a problem has no place in a file. */
function plainProblem({ origin, line, column, key, text }: ConfigProblem) {
  const place = line === 0 ? { line: null, column: null } : { line, column };
  return {
    origin: originText(origin),
    file: origin.kind === "file" ? origin.file : null,
    ...place,
    key,
    text,
  };
}

export async function schema({ terminal }: CommandContext): Promise<void> {
  terminal.out(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);
}

export async function reference({ terminal }: CommandContext): Promise<void> {
  terminal.out(configReference());
}
