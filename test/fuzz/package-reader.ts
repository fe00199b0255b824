/**
 * Fuzz target: the reader of packages: a set of plain, distinct names with the bytes that its manifest.json lists, or one error with
 * reasons. Inputs are gzip files or bare archives; of an archive the checksums are also made to fit, so that what lies behind them is reached.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import { PackageError, Problems } from "../../src/plugins/package/problems.ts";
import { checkFiles, readPackage } from "../../src/plugins/package/read.ts";
import { readUstar, writeUstar } from "../../src/plugins/package/ustar.ts";
import { ManifestError } from "../../src/plugins/problem.ts";
import { packageEntries, type TarEntry, tar, tarEntry } from "../lib/plugin-archive.ts";
import type { Random } from "./lib/random.ts";
import { check } from "./lib/target.ts";

export const name = "package-reader";
export const maxBytes = 16_384;
export const words = [
  "\x1f\x8b\x08\0\0\0\0\0\0\xff",
  "ustar\x0000",
  "ustar  \0",
  "plugin.toml\0",
  "manifest.json\0",
  "manifest.json.sig\0",
  "../",
  "/",
  "\0",
  "00000001000\0",
  "77777777777\0",
  "\x80\0\0\0\0\0\0\0\0\0\x02\0",
  "0000644\0",
  "0004755\0",
  "5",
  "2",
  "L",
  "x",
  '"files": [',
];

export const seeds = [
  tar(packageEntries()),
  gzipSync(tar(packageEntries())),
  gzipSync(tar([])),
  tar([{ name: "a/", type: "5" }, ...packageEntries()]),
  Buffer.concat([gzipSync(tar(packageEntries())), gzipSync(tar(packageEntries()))]),
  tar([]),
];

const NAMES = [
  "a",
  "A",
  "a/b",
  "a/b/c",
  "a/B",
  "b",
  "plugin.toml",
  "manifest.json",
  "manifest.json.sig",
  "README.md",
];
const ODD_NAMES = [
  "../a",
  "/a",
  "a//b",
  ".a",
  "a\0b",
  "a\\b",
  "a/",
  "\xff",
  "",
  "a".repeat(100),
  "-",
  "a/../b",
];
const TYPES = ["0", "5", "0", "5", "1", "2", "3", "6", "x", "g", "L", "S", "\0", "7"];
const SIZES = [
  "00000000001\0",
  "00000001000\0",
  "77777777777\0",
  "           \0",
  "0\0",
  "\x80\0\0\0\0\0\0\0\0\0\0\x01",
];

function entryOf(random: Random): TarEntry {
  const data = random.oneIn(2) ? "" : "x".repeat(random.small(1500));
  return {
    name: random.oneIn(6) ? random.pick(ODD_NAMES) : random.pick(NAMES),
    data,
    ...(random.oneIn(3) ? { type: random.pick(TYPES) } : {}),
    ...(random.oneIn(8) ? { prefix: random.pick(NAMES) } : {}),
    ...(random.oneIn(8) ? { size: random.pick(SIZES) } : {}),
    ...(random.oneIn(10) ? { mode: random.pick(["0000755", "0004755", "7777777", "abc"]) } : {}),
    ...(random.oneIn(10) ? { linkname: "a" } : {}),
    ...(random.oneIn(10) ? { padding: 0x41 } : {}),
  };
}

export function generate(random: Random): Uint8Array {
  const own = Array.from({ length: random.small(6) }, () => entryOf(random));
  const entries = random.oneIn(2) ? [...packageEntries(), ...own] : own;
  const ends = [Buffer.alloc(1024), Buffer.alloc(512), Buffer.alloc(1536), tarEntry(entryOf(random))];
  const archive = tar(entries, random.oneIn(3) ? random.pick(ends) : Buffer.alloc(1024));
  return random.oneIn(4) ? gzipSync(archive, { level: random.int(3) }) : archive;
}

/** @throws {Error} an invariant does not hold */
export async function run(input: Uint8Array): Promise<void> {
  const bytes = Buffer.from(input);
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    await taken(async () => {
      const read = await readPackage(bytes);
      // Whoever reads it with other tools sees the same.
      const again = readUstar(gunzipSync(bytes), new Problems("again"));
      check(again.size === read.files.size, "stock gunzip gives the same archive");
    });
    return;
  }
  await archiveHolds(bytes);
  await archiveHolds(withChecksums(bytes));
}

async function archiveHolds(archive: Buffer): Promise<void> {
  await taken(async () => {
    const files = readUstar(archive, new Problems("Cannot read"));
    checkNames([...files.keys()]);
    const again = readUstar(writeUstar(files), new Problems("again"));
    for (const [path, data] of files)
      check(again.get(path)?.equals(data) === true, "what is written is what was read");
    await checkFiles(files, "0".repeat(64));
    check(files.has("plugin.toml") && files.has("manifest.json"), "a package has its two files");
  });
}

function checkNames(paths: readonly string[]): void {
  const lower = new Set(paths.map(path => path.toLowerCase()));
  check(lower.size === paths.length, "no two names differ only in case");
  for (const path of paths) {
    check(/^[\w][\w.-]*(?:\/[\w][\w.-]*){0,7}$/.test(path) && path.length <= 200, "a plain name");
    const parents = path.split("/").map((_, i, parts) => parts.slice(0, i).join("/").toLowerCase());
    check(!parents.some(parent => parent !== "" && lower.has(parent)), "no file is a folder");
  }
}

async function taken(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof ManifestError) return;
    if (!(error instanceof PackageError)) throw error;
    check(
      error.problems.length > 0 && error.problems.length <= 22,
      "an error names its problems, not too many",
    );
    check(/^[\x20-\x7e…]*$/.test(error.message), "what an error says can be printed");
  }
}

/** Headers where a reader would look for them. */
function withChecksums(archive: Buffer): Buffer {
  const fixed = Buffer.from(archive);
  for (let at = 0; at + 512 <= fixed.length; ) {
    const header = fixed.subarray(at, at + 512);
    if (header.every(octet => octet === 0)) break;
    header.write("        ", 148, "latin1");
    const sum = header.reduce((total, octet) => total + octet, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    const size = Number.parseInt(header.toString("latin1", 124, 135), 8);
    at += 512 + Math.ceil((Number.isFinite(size) && size >= 0 ? size : 0) / 512) * 512;
  }
  return fixed;
}
