/** `mairust config show`: the configuration as text that is TOML again, like `postconf(1)`: `-n` what was set, `-a` all, `-d` defaults. */

import { isDeepStrictEqual } from "node:util";
import type { LoadedConfig } from "./load.ts";
import { type KeyPath, keyText, type Origin, originText } from "./problem.ts";
import { childOf, defaultsOf, isTable, ROOT, type SchemaNode, shapeOf } from "./schema-node.ts";

/** `n`: only what was set; `a`: everything in effect; `d`: the built-in defaults. */
export type ShowMode = "n" | "a" | "d";

/** What stands in place of a secret. */
export const MASK = "********";

/** One key with its value, ready to print. */
export interface ShownKey {
  readonly key: string;
  /** Secrets are masked. Undefined: not set, and there is no default. */
  readonly data: unknown;
  /** The same as TOML text. */
  readonly value: string | undefined;
  readonly origin: Origin;
}

/** @returns lines `key = value`, with `# origin` behind each when asked for */
export function showConfig(loaded: LoadedConfig, mode: ShowMode, withOrigin: boolean): string {
  return listConfig(loaded, mode)
    .map(({ key, value, origin }) => {
      const line = value === undefined ? `# ${key} is not set` : `${key} = ${value}`;
      return `${line}${withOrigin ? `  # ${originText(origin)}` : ""}\n`;
    })
    .join("");
}

/** The same as data: for `/admin/config`. */
export function listConfig(loaded: LoadedConfig, mode: ShowMode): readonly ShownKey[] {
  const tree: Readonly<Record<string, unknown>> = mode === "d" ? defaultsOf(ROOT) : loaded.config;
  const collector = new Collector(mode === "d" ? new Map() : loaded.origins, mode);
  collector.table(ROOT, tree, []);
  return collector.shown;
}

class Collector {
  readonly shown: ShownKey[] = [];
  readonly #origins: ReadonlyMap<string, Origin>;
  readonly #mode: ShowMode;

  constructor(origins: ReadonlyMap<string, Origin>, mode: ShowMode) {
    this.#origins = origins;
    this.#mode = mode;
  }

  table(node: SchemaNode, value: Readonly<Record<string, unknown>>, path: KeyPath): void {
    for (const name of Object.keys(node.properties ?? value)) {
      const child = childOf(node, name);
      if (child !== undefined) this.#value(child, value[name], [...path, name]);
    }
  }

  #value(node: SchemaNode, value: unknown, path: KeyPath): void {
    const { kind } = shapeOf(node);
    if ((kind === "table" || kind === "named_tables") && isTable(value)) {
      const before = this.shown.length;
      this.table(node, value, path);
      // A domain that stands in a file without any key exists all the same.
      if (this.shown.length === before && this.#originOf(path).kind !== "default") this.#add(path, {});
    } else if (value === undefined) this.#add(path, undefined);
    else
      this.#add(
        path,
        isPluginSettings(path)
          ? maskTexts(value)
          : masked(node, this.#mode === "n" ? withoutDefaults(node, value) : value, this.#originOf(path)),
      );
  }

  #originOf(path: KeyPath): Origin {
    return (
      this.#origins.get(keyText(path)) ?? this.#origins.get(keyText([...path, 0])) ?? { kind: "default" }
    );
  }

  #add(path: KeyPath, data: unknown): void {
    const origin = this.#originOf(path);
    if (this.#mode !== "n" || origin.kind !== "default")
      this.shown.push({
        key: keyText(path),
        data,
        value: data === undefined ? undefined : tomlText(data),
        origin,
      });
  }
}

/** Elements of `[[hooks]]` in the order of the schema, without the keys that have their default. */
function withoutDefaults(node: SchemaNode, value: unknown): unknown {
  const shape = shapeOf(node);
  if (shape.kind === "table_list" && Array.isArray(value))
    return value.map(entry => withoutDefaults(shape.entry, entry));
  if (shape.kind !== "table" || !isTable(value)) return value;
  const kept = Object.entries(shape.properties)
    .filter(([key, child]) => value[key] !== undefined && !isDeepStrictEqual(value[key], child.default))
    .map(([key, child]) => [key, withoutDefaults(child, value[key])] as const)
    .filter(([, child]) => !isTable(child) || Object.keys(child).length > 0);
  return Object.fromEntries(kept);
}

function masked(node: SchemaNode, value: unknown, origin: Origin): unknown {
  const readFromFile = origin.kind === "environment" && origin.secretFile !== undefined;
  if (typeof value === "string" && value !== "" && readFromFile) return MASK;
  if (typeof value === "string" && node.secret === true) return maskUrl(value);
  return maskNames(value);
}

/** The password of a URL, in both places where libpq takes one. */
function maskUrl(value: string): string {
  return value
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/?]*:)[^@/?]*@/i, `$1${MASK}@`)
    .replace(/([?&](?:password|sslpassword)=)[^&]*/gi, `$1${MASK}`);
}

const SECRET_NAME = /secret|password|passwd|token|api_?key|private_?key|credential/i;

/** Which of a plugin's settings are secrets its manifest says, which is not known here: no text of them is shown. */
function isPluginSettings([first, , third]: KeyPath): boolean {
  return first === "plugin" && third === "settings";
}

function maskTexts(value: unknown): unknown {
  if (typeof value === "string") return value === "" ? "" : MASK;
  if (Array.isArray(value)) return value.map(maskTexts);
  if (!isTable(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, child]) => [name, maskTexts(child)]));
}

/** What has no schema here: what is named like a secret is masked. */
function maskNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(maskNames);
  if (!isTable(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [name, SECRET_NAME.test(name) ? MASK : maskNames(child)]),
  );
}

/** One value as TOML 1.0, on one line. */
export function tomlText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(tomlText).join(", ")}]`;
  if (value instanceof Date) return value.toISOString();
  if (isTable(value)) {
    const entries = Object.entries(value).map(([name, child]) => `${keyText([name])} = ${tomlText(child)}`);
    return entries.length === 0 ? "{}" : `{ ${entries.join(", ")} }`;
  }
  // TOML basic strings escape as JSON does, but for DEL.
  return (JSON.stringify(value) ?? '""').replaceAll("\u007f", "\\u007f");
}
