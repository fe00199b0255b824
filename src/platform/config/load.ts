/**
 * Loads the configuration: built-in defaults, the file, `conf.d/*.toml` beside it, the environment, `-o`. Whatever is wrong with any of
 * them is reported together ({@link ConfigError}); a wrong configuration is never half used. First step of every start.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { hostname as systemHostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import { messageOf } from "../../core/errors.ts";
import type { Config } from "../../wire/config/schema.ts";
import { type Environment, processEnvironment } from "./environment.ts";
import { type Layer, type MergeState, mergeDocument } from "./merge.ts";
import { mergeEnvironment, mergeOption } from "./overrides.ts";
import { ConfigError, keyText, type Origin, problem } from "./problem.ts";
import { defaultsOf, ROOT } from "./schema-node.ts";
import { checkRules } from "./semantic.ts";
import { indexPositions, type PositionIndex, parseToml, TomlSyntaxError } from "./toml.ts";

export const DEFAULT_CONFIG_FILE = "/etc/mairust/mairust.toml";
/** Largest configuration file. */
const MAX_FILE_BYTES = 1_048_576;
/** Most files in `conf.d`. */
const MAX_CONF_D_FILES = 256;

export interface LoadOptions {
  /** `--config`; before `MAIRUST_CONFIG`. A file that is named must exist, the default one need not. */
  readonly configFile?: string;
  /** Each `-o key=value`, later ones win. */
  readonly overrides?: readonly string[];
  readonly env?: Environment;
  /** Taken when no file is named. */
  readonly defaultFile?: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** By dotted key, those that were set; every other key has its default. Filled domain keys name the `[defaults]` key's origin. */
  readonly origins: ReadonlyMap<string, Origin>;
  /** Absolute paths of the files that were read, in their order. */
  readonly files: readonly string[];
}

/**
 * @returns the effective configuration with the origin of each key
 * @throws {ConfigError} with every problem found
 */
export async function loadConfig(options: LoadOptions = {}): Promise<LoadedConfig> {
  const env = options.env ?? processEnvironment();
  const state: MergeState = { tree: defaultsOf(ROOT), origins: new Map(), problems: [] };
  const files = await mergeFiles(state, options, env);
  mergeEnvironment(state, env);
  for (const text of options.overrides ?? []) mergeOption(state, text);
  deriveDefaults(state);
  // The tree is a Config by construction: it began with every default, and each value put in was checked against the same schema.
  const config = state.tree as unknown as Config;
  const problems = [...state.problems, ...(await checkRules(config, state.origins))];
  if (problems.length > 0) throw new ConfigError(problems);
  return { config: freeze(config), origins: state.origins, files };
}

async function mergeFiles(
  state: MergeState,
  options: LoadOptions,
  env: Environment,
): Promise<readonly string[]> {
  const named = options.configFile ?? (env.MAIRUST_CONFIG === "" ? undefined : env.MAIRUST_CONFIG);
  const main = resolve(named ?? options.defaultFile ?? DEFAULT_CONFIG_FILE);
  const read: string[] = [];
  if (await mergeFile(state, main, named !== undefined)) read.push(main);
  for (const file of listConfD(state, join(dirname(main), "conf.d"))) {
    if (await mergeFile(state, file, true)) read.push(file);
  }
  return read;
}

/** `*.toml` in the code-point order of their names; a folder that is not there has none. */
function listConfD(state: MergeState, folder: string): readonly string[] {
  const origin: Origin = { kind: "file", file: folder, line: 0, column: 0 };
  try {
    const names = readdirSync(folder).filter(name => name.endsWith(".toml") && !name.startsWith("."));
    if (names.length <= MAX_CONF_D_FILES) return names.sort().map(name => join(folder, name));
    state.problems.push(problem(origin, "", `found ${names.length} files; allowed: ${MAX_CONF_D_FILES}`));
  } catch (error) {
    if (!isMissing(error)) state.problems.push(problem(origin, "", `cannot be read: ${messageOf(error)}`));
  }
  return [];
}

/** @returns whether the file was there and is TOML */
async function mergeFile(state: MergeState, file: string, mustExist: boolean): Promise<boolean> {
  const at = (line: number, column: number): Origin => ({ kind: "file", file, line, column });
  try {
    const { size } = statSync(file);
    if (size > MAX_FILE_BYTES) {
      state.problems.push(problem(at(0, 0), "", `found ${size} bytes; allowed: ${MAX_FILE_BYTES}`));
      return false;
    }
    const source = readFileSync(file, "utf8");
    const document = parseToml(source);
    const layer = fileLayer(file, await indexPositions(source));
    mergeDocument(state, layer, ROOT, document);
    return true;
  } catch (error) {
    if (error instanceof TomlSyntaxError) {
      const { line, column } = error.position;
      state.problems.push(problem(at(line, column), "", `is no valid TOML: ${error.message}`));
    } else if (!isMissing(error) || mustExist) {
      state.problems.push(problem(at(0, 0), "", `cannot be read: ${messageOf(error)}`));
    }
    return false;
  }
}

function fileLayer(file: string, positions: PositionIndex): Layer {
  return { locate: path => ({ kind: "file", file, ...positions.find(path) }), replacesLists: false };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}

/** Defaults that lie in a folder which another key names: they move with it. */
const MOVES_WITH = [
  { folder: ["data_dir"], key: ["blobs", "path"] },
  { folder: ["data_dir"], key: ["plugins", "dir"] },
  { folder: ["runtime_dir"], key: ["api", "listen"] },
] as const;

/** Fill what depends on the host, on other keys, or on what this version can do. */
function deriveDefaults(state: MergeState): void {
  const { tree, origins } = state;
  const builtIn = defaultsOf(ROOT);
  if (tree.hostname === "") tree.hostname = systemHostname();
  for (const { folder, key } of MOVES_WITH) {
    if (origins.has(keyText(key))) continue;
    const [section, name] = key;
    const from = String(builtIn[folder[0]]);
    const to = String(tree[folder[0]]);
    const target = table(tree[section]);
    const move = (value: unknown) => (typeof value === "string" ? value.replace(from, () => to) : value);
    target[name] = Array.isArray(target[name]) ? list(target[name]).map(move) : move(target[name]);
  }
  fillDomains(state);
}

/** `[defaults]` fills the keys that a domain leaves out. */
function fillDomains({ tree, origins }: MergeState): void {
  const defaults = table(tree.defaults);
  for (const [name, domain] of Object.entries(table(tree.domains))) {
    for (const key of Object.keys(defaults)) {
      const path = keyText(["domains", name, key]);
      if (origins.has(path)) continue;
      table(domain)[key] = defaults[key];
      const origin = origins.get(keyText(["defaults", key]));
      if (origin !== undefined) origins.set(path, origin);
    }
  }
}

function table(value: unknown): Record<string, unknown> {
  return value as Record<string, unknown>;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function freeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) freeze(child);
  }
  return value;
}
