/**
 * One folder of a Maildir as it is at a moment: names, flags and UIDs, no message is opened. `new` is read before `cur`, so that a
 * message which moves over meanwhile is seen. Names are latin1 of their bytes: any name passes through.
 */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { readKeywords, readUidList, type UidList } from "./dovecot-files.ts";
import { errnoOf, readSmallFile } from "./maildir-folders.ts";
import { type NamedFlags, readLetters, readName } from "./maildir-name.ts";

export interface SourceEntry extends NamedFlags {
  readonly key: string;
  readonly sub: "cur" | "new";
  /** latin1 of the file name. */
  readonly name: string;
  /** Of `dovecot-uidlist`. */
  readonly uid: number | undefined;
}

export interface FolderScan {
  readonly entries: ReadonlyMap<string, SourceEntry>;
  /** undefined: there is none that can be read. */
  readonly uidList: UidList | undefined;
  /** Names that begin with a dot. */
  readonly hidden: number;
}

/** @throws an error of the file system: the folder cannot be read */
export async function scanFolder(dir: string): Promise<FolderScan> {
  const found: { readonly sub: "cur" | "new"; readonly name: string }[] = [];
  for (const sub of ["new", "cur"] as const)
    found.push(...(await namesIn(join(dir, sub))).map(name => ({ sub, name })));
  const keywords = readKeywords((await readSmallFile(join(dir, "dovecot-keywords"), "latin1")) ?? "");
  // After the names: what it does not list then has no UID yet.
  const list = await readSmallFile(join(dir, "dovecot-uidlist"), "latin1");
  const uidList = list === undefined ? undefined : readUidList(list);
  const entries = new Map<string, SourceEntry>();
  for (const { sub, name } of found) {
    if (name.startsWith(".")) continue;
    const { key, letters } = readName(name);
    const entry = { key, sub, name, uid: uidList?.uids.get(key), ...readLetters(letters, keywords) };
    const twin = entries.get(key);
    if (twin !== undefined && (await areTwoFiles(dir, twin, entry))) {
      // Nothing is left out: the second goes by its whole name.
      entries.set(name, { ...entry, key: name, uid: undefined });
    } else entries.set(key, entry);
  }
  return { entries, uidList, hidden: found.filter(({ name }) => name.startsWith(".")).length };
}

async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir, { encoding: "latin1" });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

/** Two names of one message: one of them is gone, or both are the same file. */
async function areTwoFiles(dir: string, one: SourceEntry, other: SourceEntry): Promise<boolean> {
  const [first, second] = await Promise.all(
    [one, other].map(entry => lstat(entryPath(dir, entry)).catch(() => undefined)),
  );
  return (
    first !== undefined && second !== undefined && (first.ino !== second.ino || first.dev !== second.dev)
  );
}

/** The path as bytes. */
export function entryPath(dir: string, entry: { readonly sub: string; readonly name: string }): Buffer {
  return Buffer.concat([Buffer.from(`${join(dir, entry.sub)}/`), Buffer.from(entry.name, "latin1")]);
}
