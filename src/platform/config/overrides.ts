/**
 * The layers above the files: environment `MAIRUST_<SECTION>__<KEY>` (`…__FILE` reads the value from a file) and `-o key=value`.
 * Values are TOML values by the key's type; where only text fits a bare word is that text.
 */
import { readFileSync } from "node:fs";
import { messageOf } from "../../core/errors.ts";
import type { Environment } from "./environment.ts";
import { type Layer, type MergeState, mergeDocument } from "./merge.ts";
import { type KeyPath, keyText, type Origin, problem } from "./problem.ts";
import { childOf, isTextOnly, ROOT, type SchemaNode, shapeOf } from "./schema-node.ts";
import { parseToml } from "./toml.ts";
import { unknownKeyText } from "./unknown-key.ts";

const PREFIX = "MAIRUST_";
const FILE_SUFFIX = "__FILE";
/** Longest value that is read from a file. */
const MAX_SECRET_BYTES = 65_536;
/** Say something of their own: which file to read, and the switch for plugins. */
const EXCEPTIONS: ReadonlySet<string> = new Set(["MAIRUST_CONFIG", "MAIRUST_PLUGINS_ENABLED"]);

/** Put the variables of `env` over the state, in the order of their names. */
export function mergeEnvironment(state: MergeState, env: Environment): void {
  for (const name of Object.keys(env).sort()) {
    const value = env[name];
    if (!name.startsWith(PREFIX) || EXCEPTIONS.has(name) || value === undefined) continue;
    mergeVariable(state, name, value);
  }
  const enabled = env.MAIRUST_PLUGINS_ENABLED;
  if (enabled !== undefined) {
    const origin: Origin = { kind: "environment", name: "MAIRUST_PLUGINS_ENABLED" };
    assign(state, origin, ["plugins", "enabled"], enabledValue(enabled));
  }
}

/** `true`, `false`, or ids separated by commas. */
function enabledValue(text: string): unknown {
  const word = text.trim();
  if (word === "true" || word === "false") return word === "true";
  return word.split(",").map(id => id.trim());
}

function mergeVariable(state: MergeState, name: string, value: string): void {
  const fromFile = name.endsWith(FILE_SUFFIX);
  const path = name
    .slice(PREFIX.length, fromFile ? -FILE_SUFFIX.length : undefined)
    .split("__")
    .map(segment => segment.toLowerCase());
  const origin: Origin = { kind: "environment", name, ...(fromFile ? { secretFile: value } : {}) };
  const node = findNode(state, origin, path);
  if (node === undefined) return;
  if (!fromFile) assign(state, origin, path, readValue(node, value));
  else {
    const content = readSecret(state, origin, path, value);
    if (content !== undefined)
      assign(state, origin, path, isTextOnly(node) ? content : readValue(node, content));
  }
}

function readSecret(state: MergeState, origin: Origin, path: KeyPath, file: string): string | undefined {
  try {
    const content = readFileSync(file);
    if (content.length <= MAX_SECRET_BYTES) return content.toString("utf8").replace(/\r?\n$/, "");
    state.problems.push(
      problem(origin, keyText(path), `found a file of ${content.length} bytes; allowed: ${MAX_SECRET_BYTES}`),
    );
  } catch (error) {
    state.problems.push(problem(origin, keyText(path), `cannot read "${file}": ${messageOf(error)}`));
  }
  return undefined;
}

/** The node of a variable's path. Names such as `example.com` cannot be written in a variable. */
function findNode(state: MergeState, origin: Origin, path: readonly string[]): SchemaNode | undefined {
  let node: SchemaNode = ROOT;
  for (const [i, segment] of path.entries()) {
    const kind = shapeOf(node).kind;
    const key = keyText(path.slice(0, i + 1));
    if (kind !== "table") {
      const text =
        kind === "leaf"
          ? "unknown key"
          : "names are set in a file or with -o; a variable can only set the whole";
      state.problems.push(problem(origin, key, text));
      return undefined;
    }
    const child = childOf(node, segment);
    if (child === undefined) {
      state.problems.push(problem(origin, key, unknownKeyText(path.slice(0, i + 1))));
      return undefined;
    }
    node = child;
  }
  return node;
}

/** Put one `-o key=value` over the state. Quoted segments are allowed: `domains."example.com".stage=store`. */
export function mergeOption(state: MergeState, text: string): void {
  const parsed = splitOption(text);
  const origin: Origin = { kind: "option", text: parsed === undefined ? text : keyText(parsed.path) };
  if (parsed === undefined) {
    state.problems.push(problem(origin, "", "found no key; allowed: key=value, e.g. -o log.level=debug"));
    return;
  }
  let node: SchemaNode | undefined = ROOT;
  for (const segment of parsed.path) node = node === undefined ? undefined : childOf(node, segment);
  assign(state, origin, parsed.path, node === undefined ? parsed.value : readValue(node, parsed.value));
}

/** A key: bare or quoted segments with dots between them (TOML 1.0 "Keys"). */
const OPTION =
  /^\s*((?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'))*)\s*=(.*)$/s;

function splitOption(text: string): { readonly path: readonly string[]; readonly value: string } | undefined {
  const [, key, value] = OPTION.exec(text) ?? [];
  if (key === undefined || value === undefined) return undefined;
  const path: string[] = [];
  let table: unknown;
  try {
    table = parseToml(`${key} = 0`);
  } catch {
    return undefined; // an escape that TOML does not know: the caller reports it as no key
  }
  while (typeof table === "object" && table !== null) {
    const [entry] = Object.entries(table);
    if (entry === undefined) break;
    path.push(entry[0]);
    table = entry[1];
  }
  return { path, value: value.trim() };
}

/** Read an override by the type of its key. What is no TOML value stays text, and the check says what is allowed. */
function readValue(node: SchemaNode, text: string): unknown {
  const quoted = /^(".*"|'.*')$/s.test(text);
  if (isTextOnly(node) && !quoted) return text;
  try {
    const document = parseToml(`value = ${text}`);
    return Object.keys(document).length === 1 ? document.value : text;
  } catch {
    return text;
  }
}

/** Merge one value at a path of names: as a document that holds nothing else. */
function assign(state: MergeState, origin: Origin, path: readonly string[], value: unknown): void {
  const [first, ...rest] = path;
  if (first === undefined) return;
  const nested = rest.reduceRight<unknown>((inner, segment) => ({ [segment]: inner }), value);
  const layer: Layer = { locate: () => origin, replacesLists: true };
  mergeDocument(state, layer, ROOT, { [first]: nested });
}
