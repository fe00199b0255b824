/**
 * File operations of the blob store (step 7): the callback functions of node:fs as promises, with errors of the one family.
 *
 * The callback functions and not `fs/promises`: a small blob is five operations, and their objects cost more than the work. Not the
 * synchronous ones either: they are no faster here, and hold up the event loop for 10 ms and more while the journal commits.
 */
import * as fs from "node:fs";
import { MairustError, messageOf } from "../core/errors.ts";

export const READ_ONLY = fs.constants.O_RDONLY;
export const CREATE_NEW = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL;
/** Each write returns when its bytes and the file are durable, as if an fsync followed (open(2), O_SYNC): a trip less. */
export const CREATE_NEW_SYNCED = CREATE_NEW | fs.constants.O_SYNC;

/** Nothing left: disk, quota, or the largest file size allowed. */
const FULL: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/**
 * An error of the file system as the store's.
 * @param action  `write blob "b4f1…"`
 */
export function blobError(error: unknown, action: string): MairustError {
  if (error instanceof MairustError) return error;
  const code = errnoOf(error);
  const message = `Cannot ${action}: ${messageOf(error)}`;
  if (FULL.has(code)) return diskFull(message, error);
  return new MairustError("store_unavailable", message, {
    cause: error,
    context: { errno: code },
    publicText: "mail storage is not available",
  });
}

export function diskFull(message: string, cause?: unknown): MairustError {
  return new MairustError("disk_full", message, { cause, publicText: "mail storage is full" });
}

export function errnoOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

export function isMissing(error: unknown): boolean {
  return errnoOf(error) === "ENOENT";
}

type Callback<T> = (error: Error | null, value?: T) => void;

function promised<T>(start: (done: Callback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error === null ? resolve(value as T) : reject(error)));
  });
}

/** @returns the file descriptor: whoever opens closes */
export function openFile(path: string, flags: number): Promise<number> {
  return promised(done => fs.open(path, flags, 0o600, done));
}

export function closeFile(fd: number): Promise<void> {
  return promised(done => fs.close(fd, done as fs.NoParamCallback));
}

/** For a file whose bytes are durable or not wanted: nothing is left that could take time or fail, and a trip to a thread costs more. */
export function closeDurable(fd: number): void {
  try {
    fs.closeSync(fd);
  } catch {
    // The descriptor is gone either way (close(2)).
  }
}

export function syncFile(fd: number): Promise<void> {
  return promised(done => fs.fsync(fd, done as fs.NoParamCallback));
}

export function renameFile(from: string, to: string): Promise<void> {
  return promised(done => fs.rename(from, to, done as fs.NoParamCallback));
}

/** Gone afterwards, also when it was gone before. */
export async function removeFile(path: string): Promise<void> {
  await promised<void>(done => fs.unlink(path, done as fs.NoParamCallback)).catch(error => {
    if (!isMissing(error)) throw error;
  });
}

export async function fileSize(fd: number): Promise<number> {
  return (await promised<fs.Stats>(done => fs.fstat(fd, done))).size;
}

/** Write all of `bytes` at `position`: the system may take less at a time, near a full disk above all. */
export async function writeFully(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += await promised<number>(done => fs.write(fd, bytes, at, bytes.length - at, position + at, done));
  }
}

/** Read up to `bytes.length` octets at `position`. @returns how many; fewer only at the end of the file */
export async function readFully(fd: number, bytes: Uint8Array, position: number): Promise<number> {
  let at = 0;
  while (at < bytes.length) {
    const read = await promised<number>(done =>
      fs.read(fd, bytes, at, bytes.length - at, position + at, done),
    );
    if (read === 0) break;
    at += read;
  }
  return at;
}

/** Octets that an ordinary user may still write on the file system of `path`. */
export async function freeBytesOf(path: string): Promise<number> {
  const stats = await promised<fs.StatsFs>(done => fs.statfs(path, done));
  return stats.bavail * stats.bsize;
}
