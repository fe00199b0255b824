/**
 * Reading a stored blob (behind steps 6, 7 and 9): logical bytes, whole or a range, in bounded memory.
 *
 * A whole read is hashed on the way, and the last chunk is held back until the digest is right: who gets every byte got the right
 * ones. A range is checked for size and form only. Failures: `blob_damaged`.
 */
import { createHash } from "node:crypto";
import { messageOf } from "../core/errors.ts";
import type { ByteRange } from "../core/ports/blobs.ts";
import { freeBytes } from "../platform/free-bytes.ts";
import { decompressed } from "./blobs-fs-codec.ts";
import {
  BLOCK_BYTES,
  damaged,
  type Form,
  HEADER_BYTES,
  type PlacedBlock,
  placeBlocks,
  readHeader,
  tableBytes,
} from "./blobs-fs-format.ts";
import { blobError, fileSize, readFully } from "./blobs-fs-io.ts";

/** The first read: most messages end within it. */
const FIRST_READ_BYTES = 32 * 1024;
/** Read and given out at a time from large plain blobs. */
const CHUNK_BYTES = 256 * 1024;
/** Blocks that are read and decompressed at a time: one after the other would keep one processor busy. */
const BLOCKS_AHEAD = 4;
/** So many before somebody wants a second one: many readers only begin. */
const BLOCKS_BEGUN = 2;
/** What is compressed as a whole is never larger than this. */
const WHOLE_BYTES = 512 * 1024;

/** An open stored blob. `name` is for messages. */
export interface StoredFile {
  readonly name: string;
  readonly fd: number;
  readonly form: Form;
  readonly sizeBytes: number;
  readonly fileBytes: number;
  /** The file's first octets, header included; all of it when it is that small. */
  readonly first: Buffer;
}

/** Read header and beginning of an open file. The caller keeps owning `fd`. @throws {MairustError} `blob_damaged` */
export async function inspect(fd: number, name: string): Promise<StoredFile> {
  const buffer = Buffer.allocUnsafe(FIRST_READ_BYTES);
  const read = await readFully(fd, buffer, 0);
  const first = buffer.subarray(0, read);
  const fileBytes = read < buffer.length ? read : await fileSize(fd);
  const header = readHeader(first);
  if (header === undefined) throw damaged(name, read === 0 ? "the file is empty" : "its header is broken");
  if (header.form === "plain" && fileBytes !== HEADER_BYTES + header.sizeBytes) {
    throw damaged(name, `it has ${fileBytes - HEADER_BYTES} octets, ${header.sizeBytes} are expected`);
  }
  return { name, fd, ...header, fileBytes, first };
}

/**
 * Logical bytes of a stored blob; the file stays open.
 * @param digest  lower-case hex SHA-256 that a whole read must give
 * @param range   cut to the blob's size; absent: everything
 */
export async function* readStored(
  file: StoredFile,
  digest: string,
  range?: ByteRange,
): AsyncGenerator<Uint8Array> {
  try {
    const bytes = chunksOf(file, clamp(range, file.sizeBytes));
    if (range === undefined) yield* verified(bytes, file, digest);
    else yield* bytes;
  } catch (error) {
    throw blobError(error, `read blob "${file.name}"`);
  } finally {
    // Of a plain blob it is a chunk that somebody has.
    if (file.form !== "plain") freeBytes(file.first);
  }
}

/** The part of `[start, end)` that lies within a blob of `sizeBytes`; `start <= end` always. */
export function clamp(range: ByteRange | undefined, sizeBytes: number): ByteRange {
  if (range === undefined) return { start: 0, end: sizeBytes };
  const start = Math.min(Math.max(range.start, 0), sizeBytes);
  return { start, end: Math.min(Math.max(range.end, start), sizeBytes) };
}

function chunksOf(file: StoredFile, range: ByteRange): AsyncGenerator<Buffer> {
  switch (file.form) {
    case "plain":
      return plainChunks(file, range);
    case "brotli":
      return wholeChunk(file, range);
    case "blocks":
      return blockChunks(file, range);
  }
}

async function* plainChunks(file: StoredFile, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  const inFirst = Math.min(end, file.first.length - HEADER_BYTES);
  if (start < inFirst) yield file.first.subarray(HEADER_BYTES + start, HEADER_BYTES + inFirst);
  for (let at = Math.max(start, inFirst); at < end; at += CHUNK_BYTES)
    yield await readAt(file, HEADER_BYTES + at, Math.min(CHUNK_BYTES, end - at));
}

async function* wholeChunk(file: StoredFile, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  const stored = file.fileBytes - HEADER_BYTES;
  if (file.sizeBytes > WHOLE_BYTES || stored > WHOLE_BYTES)
    throw damaged(file.name, "it is too large for its form");
  const inFirst = file.first.subarray(HEADER_BYTES);
  const packed = inFirst.length === stored ? inFirst : await readAt(file, HEADER_BYTES, stored);
  const whole = await unpacked(file, packed, file.sizeBytes);
  if (start < end) yield whole.subarray(start, end);
}

/** The next blocks are read while one is sent. The file is not touched after this generator ended. */
async function* blockChunks(file: StoredFile, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  if (start >= end) return;
  const blocks = await placedBlocks(file);
  const last = Math.floor((end - 1) / BLOCK_BYTES);
  const reading: Array<Promise<Buffer>> = [];
  const first = Math.floor(start / BLOCK_BYTES);
  let next = first;
  const readUpTo = (count: number) => {
    for (; reading.length < count && next <= last; next += 1) {
      const block = readBlock(file, blocks[next]);
      // Its failure is told when its turn comes, if that comes.
      block.catch(() => undefined);
      reading.push(block);
    }
  };
  try {
    readUpTo(BLOCKS_BEGUN);
    for (let at = first * BLOCK_BYTES; reading.length > 0; at += BLOCK_BYTES) {
      const block = await reading[0];
      reading.shift();
      if (block !== undefined)
        yield block.subarray(Math.max(start - at, 0), Math.min(end - at, block.length));
      readUpTo(BLOCKS_AHEAD);
    }
  } finally {
    await Promise.allSettled(reading);
  }
}

async function placedBlocks(file: StoredFile): Promise<readonly PlacedBlock[]> {
  const bytes = tableBytes(file.sizeBytes);
  const at = file.fileBytes - bytes;
  const table = at < HEADER_BYTES ? undefined : await readAt(file, at, bytes);
  const blocks = table && placeBlocks(table, file.sizeBytes, file.fileBytes);
  if (blocks === undefined) throw damaged(file.name, "its table of blocks is broken");
  return blocks;
}

async function readBlock(file: StoredFile, block: PlacedBlock | undefined): Promise<Buffer> {
  if (block === undefined) throw damaged(file.name, "a block is missing");
  const stored = await readAt(file, block.at, block.storedBytes);
  if (!block.compressed) return stored;
  try {
    return await unpacked(file, stored, block.sizeBytes);
  } finally {
    freeBytes(stored);
  }
}

async function readAt(file: StoredFile, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(bytes);
  if ((await readFully(file.fd, buffer, at)) < bytes) throw damaged(file.name, "it ends too early");
  return buffer;
}

async function unpacked(file: StoredFile, packed: Buffer, sizeBytes: number): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes = await decompressed(packed, sizeBytes);
  } catch (error) {
    throw damaged(file.name, messageOf(error), error);
  }
  if (bytes.length !== sizeBytes)
    throw damaged(file.name, `it has ${bytes.length} octets, ${sizeBytes} are expected`);
  return bytes;
}

async function* verified(
  bytes: AsyncIterable<Buffer>,
  file: StoredFile,
  digest: string,
): AsyncGenerator<Buffer> {
  const hash = createHash("sha256");
  let held: Buffer | undefined;
  for await (const chunk of bytes) {
    if (held !== undefined) yield held;
    hash.update(chunk);
    held = chunk;
  }
  if (hash.digest("hex") !== digest) throw damaged(file.name, "its bytes do not match its digest");
  if (held !== undefined) yield held;
}
