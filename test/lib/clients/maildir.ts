/** Reads the Maildirs that clients write. Source: https://cr.yp.to/proto/maildir.html; flag letters of its "info" section. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

const LETTERS: Readonly<Record<string, string>> = {
  S: "\\Seen",
  R: "\\Answered",
  F: "\\Flagged",
  D: "\\Draft",
  T: "\\Deleted",
  P: "$Forwarded",
};

export interface MaildirFile {
  /** Without folder and flags. */
  readonly name: string;
  readonly bytes: Buffer;
  readonly flags: readonly string[];
  /** Letters that are no flag of every Maildir: Dovecot's keywords. */
  readonly keywordLetters: string;
  readonly modified: Date;
}

export async function readMaildir(dir: string): Promise<readonly MaildirFile[]> {
  const files: MaildirFile[] = [];
  for (const part of ["cur", "new"]) {
    for (const file of await readdir(join(dir, part))) {
      const path = join(dir, part, file);
      const [name = "", info = ""] = file.split(":2,");
      files.push({
        name,
        bytes: await readFile(path),
        flags: [...info].flatMap(letter => LETTERS[letter] ?? []),
        keywordLetters: [...info].filter(letter => LETTERS[letter] === undefined).join(""),
        modified: (await stat(path)).mtime,
      });
    }
  }
  return files;
}

/** The number after `U=`, by which mbsync and offlineimap tie a file to a UID. */
export function uidInName(name: string): number {
  const found = /,U=(\d+)/u.exec(name)?.[1];
  if (found === undefined) throw new Error(`no UID in the file name "${name}"`);
  return Number(found);
}

/** Folders below `dir` that are Maildirs, as paths relative to it. */
export async function findMaildirs(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter(entry => entry.isDirectory() && entry.name === "cur")
    .map(entry => entry.parentPath.slice(dir.length).replace(/^\/+/u, ""));
}
