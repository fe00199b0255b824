/**
 * Reading small blobs without leaving the thread (behind step 9).
 *
 * Through the thread pool a small file costs four times the work of reading it, and mail that is read was mostly stored or read
 * lately, so the system has it in memory. Hence: read here while that is quick. A read that had to wait for the disk sends all
 * further ones to the pool for a while, and after a slice of such work the event loop gets its turn, whoever reads.
 * Failures: `blob_damaged`, and those of the file system as they come.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { brotliDecompressSync } from "node:zlib";
import { messageOf } from "../core/errors.ts";
import { damaged, HEADER_BYTES, readHeader } from "./blobs-fs-format.ts";
import { READ_ONLY } from "./blobs-fs-io.ts";

/** Files up to this size are read here: the larger of stored and logical octets. 0.3 ms to decompress. */
const SMALL_BYTES = 128 * 1024;
/** A read that took longer waited for the disk. */
const SLOW_MS = 4;
/** How long the pool is used then. */
const POOL_MS = 250;
/** Work at a stretch, of all readers together. */
const SLICE_MS = 4;

export class QuickReads {
  /** What a file is read into; its content is taken out before anybody else runs. */
  readonly #scratch = Buffer.allocUnsafeSlow(HEADER_BYTES + SMALL_BYTES + 1);
  #poolUntil = 0;
  #busyMs = 0;
  #turn: Promise<void> | undefined;

  /**
   * Read a whole blob, when it is small and the disk is quick.
   *
   * @param digest  lower-case hex SHA-256, for messages
   * @param verify  compare the bytes with the digest
   * @returns the logical bytes; undefined: read it by the pool
   * @throws {MairustError} `blob_damaged`; errors of the file system (ENOENT)
   */
  async read(path: string, digest: string, verify: boolean): Promise<Buffer | undefined> {
    while (this.#busyMs >= SLICE_MS) await this.#nextTurn();
    const startedAt = performance.now();
    if (startedAt < this.#poolUntil) return undefined;
    try {
      const bytes = this.#readNow(path, digest);
      if (verify && bytes !== undefined) verifyDigest(bytes, digest);
      return bytes;
    } finally {
      const endedAt = performance.now();
      this.#busyMs += endedAt - startedAt;
      if (endedAt - startedAt > SLOW_MS) this.#poolUntil = endedAt + POOL_MS;
    }
  }

  #nextTurn(): Promise<void> {
    this.#turn ??= setImmediate().then(() => {
      this.#busyMs = 0;
      this.#turn = undefined;
    });
    return this.#turn;
  }

  #readNow(path: string, digest: string): Buffer | undefined {
    const fd = openSync(path, READ_ONLY);
    try {
      // More than there is room for, so that a file that is too large shows without asking for its size first.
      const length = readSync(fd, this.#scratch, 0, this.#scratch.length, 0);
      if (length === this.#scratch.length) return undefined;
      // A read may be cut short (signal): then the pool, which reads on.
      if (length > 4096 && fstatSync(fd).size !== length) return undefined;
      return logicalBytes(this.#scratch.subarray(0, length), digest);
    } finally {
      closeSync(fd);
    }
  }
}

/** @returns a copy; undefined when it is too much to decompress here */
function logicalBytes(file: Buffer, digest: string): Buffer | undefined {
  const header = readHeader(file);
  if (header === undefined)
    throw damaged(digest, file.length === 0 ? "the file is empty" : "its header is broken");
  const { codec, sizeBytes } = header;
  if (sizeBytes > SMALL_BYTES) return undefined;
  const stored = file.subarray(HEADER_BYTES);
  const bytes = codec === "none" ? Buffer.from(stored) : decompress(stored, sizeBytes, digest);
  if (bytes.length !== sizeBytes)
    throw damaged(digest, `it has ${bytes.length} octets, ${sizeBytes} are expected`);
  return bytes;
}

function decompress(stored: Buffer, sizeBytes: number, digest: string): Buffer {
  try {
    // One octet more than expected is enough to see that there is too much.
    return brotliDecompressSync(stored, {
      maxOutputLength: sizeBytes + 1,
      chunkSize: Math.max(64, sizeBytes),
    });
  } catch (error) {
    throw damaged(digest, messageOf(error), error);
  }
}

function verifyDigest(bytes: Buffer, digest: string): void {
  if (createHash("sha256").update(bytes).digest("hex") !== digest)
    throw damaged(digest, "its bytes do not match its digest");
}
