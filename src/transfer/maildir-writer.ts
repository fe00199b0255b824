/**
 * Writing a Maildir so that nothing half-written is ever seen: `tmp`, fsync, rename into `cur`, fsync of the directory.
 * Bytes are written as they are. Modes: directories 0700, files 0600.
 */
import { chown, type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf } from "./maildir-folders.ts";

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Make a directory and what is missing above it. Not by `recursive` of Node 20: where the file system answers ENOENT below a
 * directory that is there (/proc), that never ends.
 */
export async function makeDirectory(path: string): Promise<void> {
  const failure = await mkdirError(path);
  if (failure === undefined) return;
  if (errnoOf(failure) !== "ENOENT" || dirname(path) === path) throw failure;
  await makeDirectory(dirname(path));
  const again = await mkdirError(path);
  if (again !== undefined) throw again;
}

/** @returns undefined: it is there now */
async function mkdirError(path: string): Promise<unknown> {
  try {
    await mkdir(path, { mode: 0o700 });
    return undefined;
  } catch (error) {
    const isThere = errnoOf(error) === "EEXIST" && (await stat(path)).isDirectory();
    return isThere ? undefined : error;
  }
}

export async function makeFolder(dir: string, owner: Owner | undefined): Promise<void> {
  for (const path of [dir, ...["cur", "new", "tmp"].map(sub => join(dir, sub))]) {
    await makeDirectory(path);
    if (owner !== undefined) await chown(path, owner.uid, owner.gid);
  }
}

/** What an export that was killed left half-written. @param isOurs  of a file name */
export async function cleanTmp(dir: string, isOurs: (name: string) => boolean): Promise<void> {
  const tmp = join(dir, "tmp");
  for (const name of await readdir(tmp)) if (isOurs(name)) await rm(join(tmp, name), { force: true });
}

/** @returns octets written. @throws errors of the file system, and what `content` throws: nothing is left then */
export async function writeMessage(
  dir: string,
  name: string,
  content: AsyncIterable<Uint8Array>,
  options: { readonly date: Date; readonly sizeBytes: number; readonly owner: Owner | undefined },
): Promise<void> {
  const tmp = join(dir, "tmp", name);
  try {
    await withFile(tmp, options.owner, async handle => {
      let written = 0;
      for await (const chunk of content) {
        await handle.writeFile(chunk);
        written += chunk.length;
      }
      if (written !== options.sizeBytes)
        throw new Error(`the service gave ${written} octets, the message has ${options.sizeBytes}`);
      await handle.utimes(options.date, options.date);
    });
    await rename(tmp, join(dir, "cur", name));
  } catch (error) {
    await rm(tmp, { force: true });
    throw error;
  }
}

/** Replace a small file as a whole. */
export async function replaceFile(
  path: string,
  text: string,
  owner: Owner | undefined,
  encoding: "utf8" | "latin1",
): Promise<void> {
  const tmp = `${path}.tmp`;
  await withFile(tmp, owner, handle => handle.writeFile(text, encoding));
  await rename(tmp, path);
}

async function withFile(
  path: string,
  owner: Owner | undefined,
  work: (handle: FileHandle) => Promise<void>,
): Promise<void> {
  const handle = await open(path, "w", 0o600);
  try {
    await work(handle);
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

export async function syncDirectory(dir: string): Promise<void> {
  const handle = await open(dir, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
