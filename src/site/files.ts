/** Reading and replacing the servers' files: what is missing is undefined, and a file is replaced as a whole with the same owner and mode. */
import {
  chmod,
  chown,
  mkdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";

/** Folders that we make; readable for the mail processes. */
const FOLDER_MODE = 0o755;
/** Age that a new file pretends to have. */
const SETTLED_MS = 5_000;

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The file behind symbolic links, so that replacing it leaves them. */
export async function resolved(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isMissing(error)) return path;
    throw error;
  }
}

/**
 * Put this text there in one step; undefined removes the file, and folders named `mairust…` that are empty then.
 * @param mode  of a file that is new
 */
export async function putText(path: string, text: string | undefined, mode: number): Promise<void> {
  if (text === undefined) {
    await rm(path, { force: true });
    await removeOurFolders(dirname(path));
    return;
  }
  await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
  const before = await stat(path).catch(() => undefined);
  const temporary = join(dirname(path), `.${process.pid}.mairust-new`);
  try {
    await writeFile(temporary, text, { mode });
    await chmod(temporary, before === undefined ? mode : before.mode & 0o7777);
    if (before !== undefined) await chown(temporary, before.uid, before.gid);
    // Postfix waits until what it reads is more than a second old, for somebody may be writing it; this is whole when it appears.
    const settled = new Date(Date.now() - SETTLED_MS);
    await utimes(temporary, settled, settled);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function removeOurFolders(folder: string): Promise<void> {
  if (!folder.includes("/mairust")) return;
  try {
    await rmdir(folder);
  } catch {
    // Not empty: somebody needs it.
    return;
  }
  await removeOurFolders(dirname(folder));
}
