/**
 * Reading a stored blob (behind steps 6, 7 and 9): logical bytes, whole or a range, in bounded memory.
 *
 * A whole read is hashed on the way, and the last chunk is held back until the digest is right: who gets every byte got the right
 * ones. A range is checked for size and form only. Failures: `blob_damaged`.
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { brotliDecompress, brotliDecompressSync, createBrotliDecompress } from "node:zlib";
import { MairustError, messageOf } from "../core/errors.ts";
import type { ByteRange } from "../core/ports/blobs.ts";
import { type Codec, damaged, HEADER_BYTES, readHeader } from "./blobs-fs-format.ts";
import { blobError, fileSize, readFully } from "./blobs-fs-io.ts";

/** The first read: most messages end within it. */
const FIRST_READ_BYTES = 32 * 1024;
/** Read and given out at a time from large blobs: plain ones, and compressed ones. */
const PLAIN_CHUNK_BYTES = 256 * 1024;
const CHUNK_BYTES = 64 * 1024;
/**
 * Compressed blobs up to these sizes are decompressed in one go, as a stream they take twice as long; up to the last size without
 * leaving the thread. Of those above the first sizes only a few at a time: others go as streams.
 */
const WHOLE_STORED_BYTES = 128 * 1024;
const WHOLE_LOGICAL_BYTES = 512 * 1024;
const LARGE_STORED_BYTES = 1024 * 1024;
const LARGE_LOGICAL_BYTES = 4 * 1024 * 1024;
const LARGE_AT_A_TIME = 6;
const SYNC_LOGICAL_BYTES = 32 * 1024;

/** Large blobs that are in memory as a whole now. */
let largeWhole = 0;

/** An open stored blob. `name` is for messages. */
export interface StoredFile {
  readonly name: string;
  readonly fd: number;
  readonly codec: Codec;
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
  if (header.codec === "none" && fileBytes !== HEADER_BYTES + header.sizeBytes) {
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
    const bytes =
      file.codec === "none" ? plainChunks(file, clamp(range, file.sizeBytes)) : brotliChunks(file, range);
    if (range === undefined) yield* verified(bytes, file, digest);
    else yield* bytes;
  } catch (error) {
    throw blobError(error, `read blob "${file.name}"`);
  }
}

/** The part of `[start, end)` that lies within a blob of `sizeBytes`; `start <= end` always. */
export function clamp(range: ByteRange | undefined, sizeBytes: number): ByteRange {
  if (range === undefined) return { start: 0, end: sizeBytes };
  const start = Math.min(Math.max(range.start, 0), sizeBytes);
  return { start, end: Math.min(Math.max(range.end, start), sizeBytes) };
}

async function* plainChunks(file: StoredFile, { start, end }: ByteRange): AsyncGenerator<Buffer> {
  const inFirst = Math.min(end, file.first.length - HEADER_BYTES);
  if (start < inFirst) yield file.first.subarray(HEADER_BYTES + start, HEADER_BYTES + inFirst);
  for (let at = Math.max(start, inFirst); at < end; ) {
    const chunk = Buffer.allocUnsafe(Math.min(PLAIN_CHUNK_BYTES, end - at));
    const read = await readFully(file.fd, chunk, HEADER_BYTES + at);
    if (read < chunk.length) throw damaged(file.name, "it ends too early");
    yield chunk;
    at += read;
  }
}

async function* brotliChunks(file: StoredFile, range: ByteRange | undefined): AsyncGenerator<Buffer> {
  const { start, end } = clamp(range, file.sizeBytes);
  const stored = file.fileBytes - HEADER_BYTES;
  if (stored <= WHOLE_STORED_BYTES && file.sizeBytes <= WHOLE_LOGICAL_BYTES) {
    const whole = await decompressWhole(file, stored);
    if (start < end) yield whole.subarray(start, end);
    return;
  }
  const fits = stored <= LARGE_STORED_BYTES && file.sizeBytes <= LARGE_LOGICAL_BYTES;
  if (fits && end - start > WHOLE_LOGICAL_BYTES && largeWhole < LARGE_AT_A_TIME) {
    yield* largeChunks(file, stored, { start, end });
    return;
  }
  let at = 0;
  for await (const chunk of decompressStream(file, stored)) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, chunk.length);
    at += chunk.length;
    if (at > file.sizeBytes) throw damaged(file.name, "it has more octets than its header says");
    if (from < to) yield chunk.subarray(from, to);
    if (at >= end && range !== undefined) return;
  }
  if (at !== file.sizeBytes) throw damaged(file.name, `it has ${at} octets, ${file.sizeBytes} are expected`);
}

/** In pieces all the same, so that who reads slowly is waited for. */
async function* largeChunks(
  file: StoredFile,
  stored: number,
  { start, end }: ByteRange,
): AsyncGenerator<Buffer> {
  largeWhole += 1;
  try {
    const whole = await decompressWhole(file, stored);
    for (let at = start; at < end; at += PLAIN_CHUNK_BYTES)
      yield whole.subarray(at, Math.min(end, at + PLAIN_CHUNK_BYTES));
  } finally {
    largeWhole -= 1;
  }
}

async function decompressWhole(file: StoredFile, stored: number): Promise<Buffer> {
  let packed = file.first.subarray(HEADER_BYTES);
  if (packed.length < stored) {
    packed = Buffer.allocUnsafe(stored);
    if ((await readFully(file.fd, packed, HEADER_BYTES)) < stored)
      throw damaged(file.name, "it ends too early");
  }
  // One octet more than expected is enough to see that there is too much.
  const options = { maxOutputLength: file.sizeBytes + 1 };
  let whole: Buffer;
  try {
    if (file.sizeBytes <= SYNC_LOGICAL_BYTES) whole = brotliDecompressSync(packed, options);
    else {
      whole = await new Promise<Buffer>((resolve, reject) => {
        brotliDecompress(packed, options, (error, result) =>
          error === null ? resolve(result) : reject(error),
        );
      });
    }
  } catch (error) {
    throw damaged(file.name, messageOf(error), error);
  }
  if (whole.length !== file.sizeBytes) {
    throw damaged(file.name, `it has ${whole.length} octets, ${file.sizeBytes} are expected`);
  }
  return whole;
}

/** Back-pressure reaches the file; the file is not touched after this generator ended, so its descriptor may be closed then. */
async function* decompressStream(file: StoredFile, stored: number): AsyncGenerator<Buffer> {
  const decoder = createBrotliDecompress({ chunkSize: CHUNK_BYTES });
  const source = Readable.from(packedChunks(file, stored), { objectMode: true, highWaterMark: 1 });
  let failure: unknown;
  const pumped = pipeline(source, decoder).catch((error: unknown) => {
    failure ??= error;
  });
  try {
    for await (const chunk of decoder) yield chunk as Buffer;
  } catch (error) {
    failure ??= error;
    throw failure instanceof MairustError ? failure : damaged(file.name, messageOf(failure), failure);
  } finally {
    decoder.destroy();
    await pumped;
  }
}

async function* packedChunks(file: StoredFile, stored: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < stored; ) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, stored - at));
    const read = await readFully(file.fd, chunk, HEADER_BYTES + at);
    if (read < chunk.length) throw damaged(file.name, "it ends too early");
    yield chunk;
    at += read;
  }
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
