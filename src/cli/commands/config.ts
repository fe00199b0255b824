/** `mairust config …`: needs no service. */
import { loadConfig } from "../../platform/config/load.ts";
import { originText } from "../../platform/config/problem.ts";
import { configJsonSchema, configReference } from "../../platform/config/reference.ts";
import { listConfig, type ShowMode, type ShownKey, showConfig } from "../../platform/config/show.ts";
import type { CommandContext } from "../command.ts";
import { usageError } from "../exit-codes.ts";
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

function plainKey({ key, value, origin }: ShownKey) {
  return { key, value: value ?? null, origin: originText(origin) };
}

/** Exit 78 with every problem when it is wrong. */
export async function check({ terminal, load }: CommandContext): Promise<void> {
  const { files, origins } = await loadConfig(load);
  const from = files.length === 0 ? "no file, defaults only" : files.join(", ");
  terminal.out(`the configuration is valid: ${origins.size} keys set (${from})\n`);
}

export async function schema({ terminal }: CommandContext): Promise<void> {
  terminal.out(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`);
}

export async function reference({ terminal }: CommandContext): Promise<void> {
  terminal.out(configReference());
}
