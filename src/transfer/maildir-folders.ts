/**
 * The folders of a Maildir: Maildir++ (`.Folder.Sub` beside `cur`) or Dovecot's `LAYOUT=fs` (`Folder/Sub`).
 *
 * Names on disk are modified UTF-7 or, with Dovecot's UTF-8 setting, UTF-8. Symbolic links are not followed: a user who may write
 * the Maildir could point them at what only root may read. An export of ours says in its marker what names do not show.
 */
import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { MairustError } from "../core/errors.ts";
import { decodeModifiedUtf7 } from "../core/modified-utf7.ts";
import { readSubscriptions } from "./dovecot-files.ts";
import { type ExportMarker, readMarker } from "./export-marker.ts";
import { usableLevel } from "./folder-names.ts";

/** Folders of one Maildir. */
const MAX_FOLDERS = 5_000;
/** Levels of directories that `LAYOUT=fs` is searched for. */
const MAX_DEPTH = 20;
/** A subscriptions file of 10 000 long names. */
const MAX_SMALL_FILE = 16 * 1024 * 1024;
const NOT_FOLDERS: ReadonlySet<string> = new Set(["cur", "new", "tmp"]);

export interface SourceFolder {
  /** Path of the directory that holds `cur` and `new`. */
  readonly dir: string;
  /** Unicode, `/` between levels; "INBOX" is the root. */
  readonly name: string;
}

export interface MaildirTree {
  /** INBOX first, then by name. */
  readonly folders: readonly SourceFolder[];
  /** undefined: there is no list, every folder counts. */
  readonly subscriptions: ReadonlySet<string> | undefined;
  /** Links and the like that were passed over. */
  readonly notes: readonly string[];
  /** Set when an export of ours wrote it: bytes are not converted then. */
  readonly marker: ExportMarker | undefined;
}

/** @throws {MairustError} `not_found`: no such directory; `data_invalid`: no Maildir; `not_permitted`; `too_many` folders */
export async function readMaildirTree(root: string, layout: "maildir++" | "fs"): Promise<MaildirTree> {
  const notes: string[] = [];
  const entries = await directoriesOf(root);
  const marker = await readMarker(root);
  const folders: SourceFolder[] = [];
  if (await isMaildir(root)) folders.push({ dir: root, name: "INBOX" });
  const found =
    layout === "fs" ? await fsFolders(root, [], notes) : await dotFolders(root, entries, marker, notes);
  folders.push(...found.sort((one, other) => (one.name < other.name ? -1 : 1)));
  if (folders.length === 0) {
    throw failure("data_invalid", `"${root}" is no Maildir: it has no cur and new, and no folders that have`);
  }
  if (folders.length > MAX_FOLDERS)
    throw failure("too_many", `"${root}" has more than ${MAX_FOLDERS} folders`);
  return { folders, subscriptions: await subscriptionsOf(root, layout, marker), notes, marker };
}

function failure(
  code: "data_invalid" | "too_many" | "not_found" | "not_permitted",
  text: string,
): MairustError {
  return new MairustError(code, text, { publicText: text });
}

async function directoriesOf(root: string): Promise<readonly string[]> {
  try {
    return await readdir(root);
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR")
      throw failure("not_found", `there is no directory "${root}"`);
    if (code === "EACCES" || code === "EPERM")
      throw failure("not_permitted", `this user may not read "${root}"`);
    throw error;
  }
}

export const errnoOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "";

async function isMaildir(dir: string): Promise<boolean> {
  return (await isDirectory(join(dir, "cur"))) && (await isDirectory(join(dir, "new")));
}

/** A directory itself, not a link to one. */
async function isDirectory(path: string): Promise<boolean> {
  return (await kindOf(path)) === "directory";
}

async function kindOf(path: string): Promise<"directory" | "link" | "other"> {
  try {
    const info = await lstat(path);
    return info.isDirectory() ? "directory" : info.isSymbolicLink() ? "link" : "other";
  } catch {
    return "other";
  }
}

async function dotFolders(
  root: string,
  entries: readonly string[],
  marker: ExportMarker | undefined,
  notes: string[],
): Promise<SourceFolder[]> {
  const folders: SourceFolder[] = [];
  for (const entry of entries) {
    if (!entry.startsWith(".") || entry === "." || entry === "..") continue;
    const dir = join(root, entry);
    const kind = await kindOf(dir);
    if (kind === "link") notes.push(`"${entry}" is a symbolic link: passed over`);
    // A folder without cur and new holds no mail: a level between, or Dovecot's own files.
    if (kind !== "directory" || !(await isMaildir(dir))) continue;
    const known = marker?.folders[entry];
    folders.push({ dir, name: known ?? levelsOf(entry.slice(1).split(".")) });
  }
  return folders;
}

async function fsFolders(dir: string, levels: readonly string[], notes: string[]): Promise<SourceFolder[]> {
  const folders: SourceFolder[] = [];
  if (levels.length >= MAX_DEPTH) return folders;
  for (const entry of await directoriesOf(dir)) {
    if (entry.startsWith(".") || NOT_FOLDERS.has(entry)) continue;
    const path = join(dir, entry);
    const kind = await kindOf(path);
    if (kind === "link") notes.push(`"${[...levels, entry].join("/")}" is a symbolic link: passed over`);
    if (kind !== "directory") continue;
    const below = [...levels, entry];
    if (await isMaildir(path)) folders.push({ dir: path, name: levelsOf(below) });
    folders.push(...(await fsFolders(path, below, notes)));
  }
  return folders;
}

const levelsOf = (raw: readonly string[]): string => {
  const levels = raw.map(level => usableLevel(decodeModifiedUtf7(level) ?? level));
  if (levels[0]?.toUpperCase() === "INBOX") levels[0] = "INBOX";
  return levels.join("/");
};

async function subscriptionsOf(
  root: string,
  layout: "maildir++" | "fs",
  marker: ExportMarker | undefined,
): Promise<ReadonlySet<string> | undefined> {
  if (marker !== undefined) return new Set(marker.subscribed);
  const text = await readSmallFile(join(root, "subscriptions"), "utf8");
  if (text === undefined) return undefined;
  const names = readSubscriptions(text, layout === "fs" ? "/" : ".");
  return new Set(names.map(name => levelsOf(name.split("/"))));
}

/** @returns undefined: there is none, it is no plain file, or it is too large to be one */
export async function readSmallFile(path: string, encoding: "utf8" | "latin1"): Promise<string | undefined> {
  const info = await lstat(path).catch(() => undefined);
  if (info === undefined || !info.isFile() || info.size > MAX_SMALL_FILE) return undefined;
  return readFile(path, encoding);
}
