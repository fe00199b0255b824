/**
 * The files below the egress ledger's spool: a seam, so that tests can see when an entry is on disk, and can let a disk fail.
 *
 * A segment is filled with zeros and synced when it is made; entries then go over the zeros with O_DSYNC. One system call makes them
 * durable, and it changes no size, so the file system writes no journal for it: a quarter less time than appending
 * (`npm run bench ledger` has the figures).
 */
import { constants, type Dirent, write } from "node:fs";
import { mkdir, open, readdir, rename, stat, unlink } from "node:fs/promises";
import { join } from "node:path";

export interface SegmentFile {
  /** Resolves when the octets are durable. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Nothing is written any more: what is behind `sizeBytes` goes, so that a spool which waits takes no more disk than its entries. */
  close(sizeBytes: number): Promise<void>;
}

export interface LedgerFiles {
  /** A new file of `sizeBytes` zeros, durable with its name. */
  create(name: string, sizeBytes: number): Promise<SegmentFile>;
  /** Segments, whoever made them, in the order of their names. */
  list(): Promise<readonly { readonly name: string; readonly sizeBytes: number }[]>;
  read(name: string, start: number, end: number): Promise<Buffer>;
  remove(name: string): Promise<void>;
  /** Keep it for people, and list it no more. */
  setAside(name: string): Promise<void>;
}

const SUFFIX = ".ledger";
const NEW_SYNCED = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC;

/** @param folder  made when it is missing */
export async function openLedgerFiles(folder: string): Promise<LedgerFiles> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const pathOf = (name: string) => join(folder, `${name}${SUFFIX}`);
  return {
    create: (name, sizeBytes) => createSegment(folder, pathOf(name), sizeBytes),
    async list() {
      const found = await readdir(folder, { withFileTypes: true });
      const names = found.filter(isSegment).map(entry => entry.name.slice(0, -SUFFIX.length));
      return Promise.all(
        names.sort().map(async name => ({ name, sizeBytes: (await stat(pathOf(name))).size })),
      );
    },
    async read(name, start, end) {
      const file = await open(pathOf(name), "r");
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
        return buffer.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    },
    remove: name => unlink(pathOf(name)),
    setAside: name => rename(pathOf(name), `${pathOf(name)}.damaged`),
  };
}

const isSegment = (entry: Dirent) => entry.isFile() && entry.name.endsWith(SUFFIX);

async function createSegment(folder: string, path: string, sizeBytes: number): Promise<SegmentFile> {
  const file = await open(path, NEW_SYNCED, 0o600);
  try {
    await file.write(Buffer.alloc(sizeBytes), 0, sizeBytes, 0);
    await file.sync();
    const directory = await open(folder, "r");
    await directory.sync().finally(() => directory.close());
  } catch (error) {
    await file.close();
    // Half a segment holds nothing.
    await unlink(path).catch(() => undefined);
    throw error;
  }
  return {
    async write(bytes, position) {
      for (let at = 0; at < bytes.length; ) at += await writeSome(file.fd, bytes, at, position + at);
    },
    async close(size) {
      // A file that stays long is no loss: what follows the entries is zeros.
      await file.truncate(size).finally(() => file.close());
    },
  };
}

/** By the callback function: the promise of a file handle costs a tenth of the write. @returns how many octets were written */
function writeSome(fd: number, bytes: Uint8Array, from: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, from, bytes.length - from, position, (error, written) =>
      error === null ? resolve(written) : reject(error),
    );
  });
}
