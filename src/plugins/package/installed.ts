/**
 * Looks at an unpacked package again, at each start and every hour: are its files still what its `manifest.json` lists, and is that
 * still the one that was installed? Files are read as they lie, without following links, never more of them than there should be.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { lstat, open, opendir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../core/errors.ts";
import type { PluginTrust } from "../../core/ports/plugin-keys.ts";
import type { PluginPackage, Verification } from "../../core/ports/plugin-packages.ts";
import { MAX_PACKAGE_FILES, type PackageContents } from "../../wire/plugin-package.ts";
import { CONTENTS_FILE, MAX_CONTENTS_BYTES, parseContents, SIGNATURES_FILE } from "./contents.ts";
import { Problems, quoted } from "./problems.ts";
import { MAX_SIGNATURES_BYTES } from "./signatures.ts";
import { type Signed, signedOf, verifySigned } from "./verify.ts";

const READ_BYTES = 64 * 1024;
/** Names that are looked at: a few more than a package can have. */
const MAX_NAMES = 4 * MAX_PACKAGE_FILES;
/** Written by others than the owner. */
const WRITABLE = 0o022;

/** What is kept of a package to know its files again: some hundred octets and its two lists. */
export type InstalledPackage = Signed;

export function installedOf(plugin: PluginPackage): InstalledPackage {
  return signedOf(plugin);
}

/**
 * @param folder  where the package was unpacked
 * @param pinned  the developer's key of this plugin's first package
 * @returns       `modified` for whatever is not as it was unpacked, also when it cannot be read; else what the signatures say
 */
export async function verifyFolder(
  folder: string,
  installed: InstalledPackage,
  trust: PluginTrust,
  pinned?: string,
): Promise<Verification> {
  const verification = verifySigned(installed, trust, pinned);
  if (verification.state === "modified" || verification.revocation?.severity === "malicious")
    return verification;
  const problems = await folderProblems(folder, installed);
  if (problems.length === 0) return verification;
  // As in `verifySigned`: a warning of the version says nothing about files that are not its own.
  return { ...verification, state: "modified", detail: problems.join("; "), revocation: undefined };
}

/** @returns what differs; empty: nothing */
async function folderProblems(folder: string, installed: InstalledPackage): Promise<readonly string[]> {
  const problems = new Problems(`Cannot verify "${folder}"`);
  const contents = parseContents(installed.contents, problems);
  if (contents === undefined) return problems.list;
  const missing = new Map<string, Expected>(expectedFiles(contents, installed));
  try {
    await checkFolder({ folder, missing, folders: foldersOf(missing.keys()), problems, names: 0 }, "");
  } catch (error) {
    problems.add(`it cannot be read (${messageOf(error)})`);
  }
  for (const path of missing.keys()) problems.add(`${quoted(path)} is missing`);
  return problems.list;
}

interface Expected {
  readonly size: number;
  readonly sha256: string;
}

function* expectedFiles(
  { files }: PackageContents,
  { contents, signatures }: InstalledPackage,
): Generator<readonly [string, Expected]> {
  const whole = (bytes: Uint8Array): Expected => ({
    size: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
  });
  for (const { path, size, sha256 } of files) yield [path, { size, sha256 }];
  yield [CONTENTS_FILE, whole(contents.subarray(0, MAX_CONTENTS_BYTES))];
  if (signatures !== undefined) yield [SIGNATURES_FILE, whole(signatures.subarray(0, MAX_SIGNATURES_BYTES))];
}

function foldersOf(paths: Iterable<string>): ReadonlySet<string> {
  const folders = new Set<string>();
  for (const path of paths)
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1))
      folders.add(path.slice(0, slash));
  return folders;
}

interface Walk {
  readonly folder: string;
  /** Files that were not met yet. */
  readonly missing: Map<string, Expected>;
  readonly folders: ReadonlySet<string>;
  readonly problems: Problems;
  names: number;
}

/** @param prefix  "" or with "/" at its end */
async function checkFolder(walk: Walk, prefix: string): Promise<void> {
  const { folder, missing, folders, problems } = walk;
  // Without the slash: with it a link would be followed.
  const here = await lstat(join(folder, prefix.slice(0, -1)));
  if (!here.isDirectory()) return problems.add(`${quoted(prefix)} is no folder`);
  if ((here.mode & WRITABLE) !== 0)
    problems.add(`${quoted(prefix === "" ? "." : prefix)} may be written by others`);
  // Also ends when it was read to its end, or when something is thrown.
  for await (const entry of await opendir(join(folder, prefix))) {
    const path = `${prefix}${entry.name}`;
    walk.names += 1;
    if (walk.names > MAX_NAMES) throw new Error(`it holds more than ${MAX_NAMES} names`);
    if (folders.has(path)) {
      await checkFolder(walk, `${path}/`);
      continue;
    }
    const expected = missing.get(path);
    missing.delete(path);
    const why =
      expected === undefined ? "is no file of the package" : await fileProblem(join(folder, path), expected);
    if (why !== undefined) problems.add(`${quoted(path)} ${why}`);
  }
}

/** @returns how the file differs; undefined: it does not */
async function fileProblem(file: string, { size, sha256 }: Expected): Promise<string | undefined> {
  const info = await lstat(file);
  // Before it is opened: a FIFO would wait for a writer.
  if (!info.isFile()) return `is ${info.isSymbolicLink() ? "a symbolic link" : "no file"}`;
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const now = await handle.stat();
    if (!now.isFile()) return "is no file";
    if ((now.mode & WRITABLE) !== 0) return "may be written by others";
    if (now.size !== size) return `has ${now.size} bytes instead of ${size}`;
    const hash = createHash("sha256");
    const buffer = Buffer.alloc(Math.min(READ_BYTES, size + 1));
    for (let left = size + 1; left > 0; ) {
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, left), null);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      left -= bytesRead;
    }
    return hash.digest("hex") === sha256 ? undefined : "was changed";
  } finally {
    await handle.close();
  }
}
