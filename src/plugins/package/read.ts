/**
 * Reads a `.mairust-plugin` package: all of it in memory and from one buffer, so that what was checked is what is written later. Strict:
 * whatever another reader could see in another way is refused, and nothing is repaired. Says nothing about who made it: `verify.ts`.
 *
 * Order: gzip → ustar → `manifest.json` against the files → signatures' form → `plugin.toml` by the one parser for it.
 */
import type { PluginPackage } from "../../core/ports/plugin-packages.ts";
import type { Manifest } from "../../wire/manifest.ts";
import { MAX_PACKED_BYTES, type PackageContents } from "../../wire/plugin-package.ts";
import { MAX_MANIFEST_CHARACTERS, parseManifest } from "../manifest.ts";
import {
  apiOf,
  CONTENTS_FILE,
  isOwn,
  PLUGIN_FILE,
  parseContents,
  SIGNATURES_FILE,
  sha256,
} from "./contents.ts";
import { gunzip } from "./gzip.ts";
import { Problems, quoted } from "./problems.ts";
import { parseSignatures } from "./signatures.ts";
import { readUstar } from "./ustar.ts";

const WHAT = "Cannot read plugin package";

/**
 * @param bytes  the whole package; it must not change any more
 * @throws {PackageError} every problem of the step that failed
 * @throws {ManifestError} its `plugin.toml` has errors
 */
export async function readPackage(bytes: Uint8Array): Promise<PluginPackage> {
  const problems = new Problems(WHAT);
  if (bytes.length > MAX_PACKED_BYTES)
    problems.fail(`it has ${bytes.length} bytes, at most ${MAX_PACKED_BYTES} are allowed`);
  const archive = await gunzip(bytes, problems);
  return checkFiles(readUstar(archive, problems), await sha256(bytes));
}

/**
 * The part behind the archive, for packages that have none yet too.
 * @param digest  of the package
 * @throws as {@link readPackage}
 */
export async function checkFiles(
  files: ReadonlyMap<string, Uint8Array>,
  digest: string,
): Promise<PluginPackage> {
  const problems = new Problems(WHAT);
  const contents = await checkContents(files, problems);
  const signatures = files.get(SIGNATURES_FILE);
  if (signatures !== undefined) parseSignatures(signatures, problems);
  problems.throwIfAny();
  const manifest = await readManifest(files, problems);
  if (contents !== undefined) checkIdentity(manifest, contents, problems);
  problems.throwIfAny();
  return { manifest, files, digest };
}

async function checkContents(
  files: ReadonlyMap<string, Uint8Array>,
  problems: Problems,
): Promise<PackageContents | undefined> {
  for (const needed of [PLUGIN_FILE, CONTENTS_FILE])
    if (!files.has(needed)) problems.add(`it has no ${needed}`);
  const bytes = files.get(CONTENTS_FILE);
  const contents = bytes === undefined ? undefined : parseContents(bytes, problems);
  if (contents === undefined) return undefined;
  const listed = new Set(contents.files.map(({ path }) => path));
  for (const path of files.keys())
    if (!listed.has(path) && !isOwn(path)) problems.add(`${quoted(path)} is not listed in ${CONTENTS_FILE}`);
  for (const { path, size, sha256: digest } of contents.files) {
    const file = files.get(path);
    if (file === undefined) problems.add(`${quoted(path)} is listed in ${CONTENTS_FILE} and missing`);
    else if (file.length !== size)
      problems.add(`${quoted(path)} has ${file.length} bytes, ${CONTENTS_FILE} says ${size}`);
    else if ((await sha256(file)) !== digest)
      problems.add(`${quoted(path)} is not the file that ${CONTENTS_FILE} lists: its SHA-256 differs`);
  }
  return contents;
}

async function readManifest(files: ReadonlyMap<string, Uint8Array>, problems: Problems): Promise<Manifest> {
  const bytes = files.get(PLUGIN_FILE) ?? new Uint8Array(0);
  if (bytes.length > MAX_MANIFEST_CHARACTERS * 4) problems.fail(`${PLUGIN_FILE} has ${bytes.length} bytes`);
  return parseManifest(utf8(bytes, problems), PLUGIN_FILE);
}

function utf8(bytes: Uint8Array, problems: Problems): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return problems.fail(`${PLUGIN_FILE} is not UTF-8`);
  }
}

function checkIdentity(manifest: Manifest, contents: PackageContents, problems: Problems): void {
  const compare = (key: string, inToml: string, inJson: string) => {
    if (inToml !== inJson)
      problems.add(
        `its ${key} is ${quoted(inToml)} in ${PLUGIN_FILE} and ${quoted(inJson)} in ${CONTENTS_FILE}`,
      );
  };
  compare("id", manifest.id, contents.id);
  compare("version", manifest.version, contents.version);
  compare("api", apiOf(manifest), contents.api);
}
