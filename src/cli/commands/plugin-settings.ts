/** `mairust plugin settings`: what a plugin is set to, and changes, through the API. */
import type { PluginSettingsBody, SettingBody } from "../../wire/api/plugin-settings.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, usageError } from "../exit-codes.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printRows } from "../output.ts";
import { readSecret } from "../secret-input.ts";
import { printable } from "../text.ts";

const shownValue = (s: SettingBody): string => {
  if (s.problem !== null) return `cannot be read: ${s.problem}`;
  if (s.type === "secret") return s.is_set ? "(set)" : "(not set)";
  return s.value === null ? "(not set)" : String(s.value);
};

const COLUMNS: readonly Column<SettingBody>[] = [
  { title: "KEY", value: s => s.key },
  { title: "VALUE", value: shownValue, min: 12 },
  { title: "ORIGIN", value: s => s.where ?? s.origin, min: 8 },
  { title: "ALLOWED", value: s => s.allowed, min: 12 },
  { title: "DESCRIPTION", value: s => s.description, min: 16 },
];

export async function settings(context: CommandContext): Promise<void> {
  const { args, options, terminal, format, load } = context;
  const [id, ...assignments] = args;
  const path = `/api/v1/admin/plugins/${segment(requiredArg([id], 0, "the plugin's id"))}/settings`;
  const { client } = await connect(load);
  const before = await client.get<PluginSettingsBody>(path);
  const changes = await changesOf(context, assignments, before.body);
  if (Object.keys(changes).length === 0) {
    printRows(terminal, format, before.body.settings, COLUMNS);
    return;
  }
  const dryRun = options.has("dryRun");
  const { body } = await client.patch<PluginSettingsBody>(path, {
    body: changes,
    query: { dry_run: dryRun },
    headers: { "if-match": `"${before.body.version}"` },
  });
  terminal.err(`${dryRun ? "would change" : "changed"} ${Object.keys(changes).map(printable).join(", ")}\n`);
  printRows(terminal, format, body.settings, COLUMNS);
}

type Value = string | number | boolean | null;

async function changesOf(
  { options, terminal }: CommandContext,
  assignments: readonly (string | undefined)[],
  { settings: known }: PluginSettingsBody,
): Promise<Record<string, Value>> {
  const changes: Record<string, Value> = {};
  if (!terminal.canAsk && assignments.filter(one => one?.endsWith("=-")).length > 1)
    throw usageError("standard input holds one secret: set the others one by one");
  for (const key of options.texts("unset")) changes[key] = null;
  for (const assignment of assignments) {
    const [, key = "", text = ""] = /^([^=]+)=(.*)$/su.exec(assignment ?? "") ?? [];
    if (key === "") throw usageError(`settings are given as key=value, not "${assignment}"`);
    if (Object.hasOwn(changes, key)) throw usageError(`"${key}" is given twice`);
    const setting = known.find(one => one.key === key);
    if (setting?.type === "secret") changes[key] = await secretOf(terminal, key, text);
    else changes[key] = typedValue(setting?.type, key, text);
  }
  return changes;
}

/** A secret never stands on the command line: other users of the host could read it there, and the shell would remember it. */
async function secretOf(terminal: CommandContext["terminal"], key: string, text: string): Promise<string> {
  if (text !== "-") throw usageError(`"${key}" is a secret: say ${key}=- and give it on standard input`);
  return readSecret(terminal, `Value of ${key}: `);
}

function typedValue(type: SettingBody["type"] | undefined, key: string, text: string): Value {
  if (type === "boolean") {
    if (text === "true" || text === "false") return text === "true";
    throw new CommandError(EXIT.usage, `${key} takes true or false, not "${text}"`);
  }
  // What is no number goes as it is: the service says what is allowed.
  const isNumber = type === "number" || type === "integer";
  return isNumber && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}
