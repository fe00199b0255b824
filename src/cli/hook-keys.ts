/** The keys of a hook from the options of `hook add` and `hook edit`. Values are checked by the service, all of them at once. */
import { parse } from "smol-toml";
import type { Options } from "./command.ts";
import { usageError } from "./exit-codes.ts";

export type HookKeys = Record<string, unknown>;

/** Option name → path of the key. */
const OPTIONS: ReadonlyArray<readonly [option: string, path: readonly string[]]> = [
  ["plugin", ["plugin"]],
  ["point", ["point"]],
  ["mode", ["mode"]],
  ["priority", ["priority"]],
  ["timeout", ["timeout_ms"]],
  ["onTimeout", ["on_timeout"]],
  ["onError", ["on_error"]],
  ["recipient", ["filter", "recipient"]],
  ["sender", ["filter", "sender"]],
];
const NUMBERS: ReadonlySet<string> = new Set(["priority", "timeout"]);

/** What the options say, and nothing else. @throws {CommandError} 64 */
export function hookKeys(options: Options): HookKeys {
  const keys: HookKeys = {};
  for (const [option, path] of OPTIONS) {
    const text = options.text(option);
    if (text !== undefined) put(keys, path, NUMBERS.has(option) ? tomlValue(text) : text);
  }
  for (const text of options.texts("set")) {
    const at = text.indexOf("=");
    if (at < 1) throw usageError(`--set takes key=value, not "${text}"`);
    put(keys, pathOf(text.slice(0, at)), tomlValue(text.slice(at + 1)));
  }
  for (const key of options.texts("unset")) put(keys, pathOf(key), null);
  if (options.has("enable") && options.has("disable"))
    throw usageError("--enable and --disable exclude each other");
  if (options.has("enable")) keys.enabled = true;
  if (options.has("disable")) keys.enabled = false;
  return keys;
}

/** `filter.header.Subject` → three segments. */
function pathOf(key: string): readonly string[] {
  const path = key.trim().split(".");
  const deepest = path[0] === "demote" ? 2 : path[0] === "filter" ? (path[1] === "header" ? 3 : 2) : 1;
  if (path.length <= deepest && path.every(segment => segment !== "")) return path;
  throw usageError(`there is no key "${key}" in [[hooks]]`);
}

function put(keys: HookKeys, [first = "", ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    keys[first] = value;
    return;
  }
  const inner: HookKeys = typeof keys[first] === "object" && keys[first] !== null ? { ...keys[first] } : {};
  put(inner, rest, value);
  keys[first] = inner;
}

/** As TOML writes it; what is none is a text, so that `mode=shadow` needs no quotes. */
function tomlValue(text: string): unknown {
  try {
    return parse(`value = ${text}`).value;
  } catch {
    return text;
  }
}
