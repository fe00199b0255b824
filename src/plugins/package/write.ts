/**
 * Makes packages: from an author's folder, and again when a signature is added. The same files give the same bytes on every machine.
 * What comes out was read back by the strict reader before anybody gets it.
 */
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import type { PluginPackage } from "../../core/ports/plugin-packages.ts";
import type { Manifest } from "../../wire/manifest.ts";
import {
  MAX_PACKAGE_FILES,
  MAX_PACKED_BYTES,
  MAX_UNPACKED_BYTES,
  type SignatureRole,
} from "../../wire/plugin-package.ts";
import { MAX_MANIFEST_CHARACTERS, parseManifest } from "../manifest.ts";
import { CONTENTS_FILE, canonicalJson, contentsOf, PLUGIN_FILE, SIGNATURES_FILE } from "./contents.ts";
import { gzip } from "./gzip.ts";
import type { PrivateKey } from "./keys.ts";
import { PathSet, pathProblem } from "./paths.ts";
import { Problems, quoted } from "./problems.ts";
import { readPackage } from "./read.ts";
import { parseSignatures, signContents } from "./signatures.ts";
import { splitPath, writeUstar } from "./ustar.ts";

/** Left out wherever it lies: not made for who runs the plugin. */
const LEFT_OUT = /^(?:\..*|node_modules|__pycache__|.*\.py[co]|.*\.mairust-plugin|.*~)$/;
/** Left out at the top of the folder: what tests the plugin, and what is made anew. */
const LEFT_OUT_ON_TOP: ReadonlySet<string> = new Set([
  "test",
  "tests",
  "fixtures",
  CONTENTS_FILE,
  SIGNATURES_FILE,
]);
/** Names of one folder that are looked at. */
const MAX_NAMES = 10_000;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/;

export interface BuiltPackage {
  readonly bytes: Uint8Array;
  readonly package: PluginPackage;
  /** Paths that were not taken; folders end with "/". */
  readonly leftOut: readonly string[];
  /** What may be a mistake, for people. */
  readonly notes: readonly string[];
}

/**
 * @throws {PackageError} with every file that cannot go into a package
 * @throws {ManifestError} `plugin.toml` has errors
 */
export async function packFolder(folder: string): Promise<BuiltPackage> {
  const problems: Problems = new Problems(`Cannot make a package of "${folder}"`, "plugin_validation");
  const walk: Walk = { folder, files: new Map(), leftOut: [], paths: new PathSet(), problems, bytes: 0 };
  await takeFolder(walk, "");
  const toml = walk.files.get(PLUGIN_FILE);
  if (toml === undefined) problems.fail(`it has no ${PLUGIN_FILE}`);
  const source = Buffer.from(toml)
    .subarray(0, MAX_MANIFEST_CHARACTERS * 4)
    .toString("utf8");
  const manifest = await parseManifest(source, join(folder, PLUGIN_FILE));
  for (const path of missingFiles(manifest, walk.files))
    problems.add(`${quoted(path)} is named in ${PLUGIN_FILE} and missing`);
  problems.throwIfAny();
  const contents = Buffer.from(canonicalJson(await contentsOf(manifest, walk.files)));
  const bytes = pack(new Map([...walk.files, [CONTENTS_FILE, contents]]), problems);
  const leftOut = walk.leftOut.sort();
  return { bytes, package: await readPackage(bytes), leftOut, notes: notesOn(manifest, walk.files, leftOut) };
}

/** With one more signature; one of the same key and role is replaced. @throws {PluginValidationError}, {PackageError} */
export async function signPackage(
  plugin: PluginPackage,
  key: PrivateKey,
  role: SignatureRole,
): Promise<BuiltPackage> {
  const problems = new Problems("Cannot sign package", "plugin_validation");
  const before = plugin.files.get(SIGNATURES_FILE);
  const made = signContents(key, plugin.files.get(CONTENTS_FILE) ?? new Uint8Array(0), role);
  const others = (before === undefined ? [] : (parseSignatures(before, problems) ?? [])).filter(
    one => one.role !== role || one.key_id !== made.key_id,
  );
  // In a fixed order: who signs first does not change the bytes.
  const name = (one: typeof made) => `${one.role} ${one.key_id}`;
  const list = [...others, made].sort((a, b) => (name(a) < name(b) ? 1 : -1));
  const signatures = Buffer.from(canonicalJson(list));
  parseSignatures(signatures, problems);
  problems.throwIfAny();
  const bytes = pack(new Map([...plugin.files, [SIGNATURES_FILE, signatures]]), problems);
  return { bytes, package: await readPackage(bytes), leftOut: [], notes: [] };
}

function pack(files: ReadonlyMap<string, Uint8Array>, problems: Problems): Buffer {
  const archive = writeUstar(files);
  if (archive.length > MAX_UNPACKED_BYTES)
    problems.fail(`its archive has ${archive.length} bytes, at most ${MAX_UNPACKED_BYTES} are allowed`);
  const bytes = gzip(archive);
  if (bytes.length > MAX_PACKED_BYTES)
    problems.fail(`the package has ${bytes.length} bytes, at most ${MAX_PACKED_BYTES} are allowed`);
  return bytes;
}

interface Walk {
  readonly folder: string;
  readonly files: Map<string, Uint8Array>;
  readonly leftOut: string[];
  readonly paths: PathSet;
  readonly problems: Problems;
  bytes: number;
}

/** @param prefix  "" or with "/" at its end */
async function takeFolder(walk: Walk, prefix: string): Promise<void> {
  for (const name of await namesIn(walk, prefix)) {
    const path = `${prefix}${name}`;
    const info = await lstat(join(walk.folder, path));
    if (LEFT_OUT.test(name) || (prefix === "" && LEFT_OUT_ON_TOP.has(name))) {
      walk.leftOut.push(info.isDirectory() ? `${path}/` : path);
      continue;
    }
    const kind = info.isDirectory() ? "folder" : "file";
    const why = kindProblem(info) ?? pathProblem(path) ?? longProblem(path) ?? walk.paths.add(path, kind);
    if (why !== undefined) walk.problems.add(`${quoted(path)}: ${why}`);
    else if (kind === "folder") await takeFolder(walk, `${path}/`);
    else await takeFile(walk, path);
  }
}

async function namesIn({ folder, problems }: Walk, prefix: string): Promise<readonly string[]> {
  try {
    const names = await readdir(join(folder, prefix));
    if (names.length > MAX_NAMES) problems.fail(`${quoted(prefix)} holds ${names.length} names`);
    return names.sort();
  } catch (error) {
    return problems.fail(`${quoted(prefix === "" ? folder : prefix)} cannot be read (${messageOf(error)})`);
  }
}

function kindProblem(info: {
  isDirectory(): boolean;
  isFile(): boolean;
  isSymbolicLink(): boolean;
}): string | undefined {
  if (info.isDirectory() || info.isFile()) return undefined;
  return `it is ${info.isSymbolicLink() ? "a symbolic link" : "a special file"}, only files are allowed`;
}

function longProblem(path: string): string | undefined {
  return splitPath(path) === undefined
    ? "its name does not fit into an archive: shorten its parts"
    : undefined;
}

async function takeFile(walk: Walk, path: string): Promise<void> {
  const { files } = walk;
  const problems: Problems = walk.problems;
  if (files.size === MAX_PACKAGE_FILES) problems.fail(`it has more than ${MAX_PACKAGE_FILES} files`);
  const bytes = await readWhole(join(walk.folder, path), MAX_UNPACKED_BYTES - walk.bytes);
  if (bytes === undefined) problems.fail(`it has more than ${MAX_UNPACKED_BYTES} bytes`);
  walk.bytes += bytes.length;
  if (PRIVATE_KEY.test(bytes.subarray(0, 4096).toString("latin1")))
    problems.add(`${quoted(path)}: it holds a private key, which must not leave your hands`);
  files.set(path, bytes);
}

/** @returns undefined: it is larger. A file that grows meanwhile is read to where it ended. */
async function readWhole(file: string, maxBytes: number): Promise<Buffer | undefined> {
  const handle: FileHandle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) return undefined;
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await handle.read(bytes, 0, size, 0);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Files that the manifest names for sure. */
function missingFiles({ entry, ui, api }: Manifest, files: ReadonlyMap<string, unknown>): readonly string[] {
  return [entry.module, ui?.bundle, api?.openapi]
    .filter(path => path !== undefined)
    .filter(path => !files.has(path));
}

function notesOn(
  manifest: Manifest,
  files: ReadonlyMap<string, unknown>,
  leftOut: readonly string[],
): readonly string[] {
  const notes: string[] = [];
  const { command } = manifest.entry;
  if (command !== undefined && commandFiles(manifest, files).length === 0)
    notes.push(`no word of entry.command (${command.join(" ")}) is a file of the package`);
  if (leftOut.some(path => path === "node_modules/" || path.endsWith("/node_modules/")))
    notes.push("node_modules is left out: bundle what the plugin needs into its own files");
  return notes;
}

/** Files of the package that its command names: they may be executed. */
export function commandFiles({ entry }: Manifest, files: ReadonlyMap<string, unknown>): readonly string[] {
  const { command = [], health_cmd: health = [] } = entry;
  const words = [...command, ...(typeof health === "string" ? health.split(/\s+/u) : health)];
  return [...new Set(words.map(word => word.replace(/^\.\//u, "")))].filter(path => files.has(path));
}
