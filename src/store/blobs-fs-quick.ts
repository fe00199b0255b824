/**
 * Reading small blobs without leaving the thread (behind step 9).
 *
 * Through the thread pool a small file costs four times the work of reading it, and mail that is read was mostly stored or read
 * lately, so the system has it in memory. Hence: read here while that is quick. Reads that had to wait for the disk send all
 * further ones to the pool for a while, and after a slice of such work the event loop gets its turn, whoever reads.
 * Failures: `blob_damaged`, and those of the file system as they come.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { messageOf } from "../core/errors.ts";
import { decompressedNow } from "./blobs-fs-codec.ts";
import { damaged, HEADER_BYTES, readHeader } from "./blobs-fs-format.ts";
import { READ_ONLY } from "./blobs-fs-io.ts";

/** Files up to this size are read here: the larger of stored and logical octets. 0.3 ms to decompress. */
const SMALL_BYTES = 128 * 1024;
/** The first read: most messages end within it. */
const FIRST_BYTES = 16 * 1024;
/** A read that took this long waited for the disk. */
const DISK_MS = 20;
/** One that took this long may have waited for a processor only: it counts when it is not the only one of late. */
const SLOW_MS = 4;
const LATE_MS = 250;
/** How long the pool is used then. */
const POOL_MS = 250;
/** Work at a stretch, of all readers together. */
const SLICE_MS = 4;

export class QuickReads {
  /** What a file is read into; its content is taken out before anybody else runs. */
  readonly #scratch = Buffer.allocUnsafeSlow(HEADER_BYTES + SMALL_BYTES + 1);
  /** End of the last slow read. */
  #slowAt = Number.NEGATIVE_INFINITY;
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
      this.#account(startedAt, performance.now());
    }
  }

  #account(startedAt: number, endedAt: number): void {
    this.#busyMs += endedAt - startedAt;
    const tookMs = endedAt - startedAt;
    if (tookMs < SLOW_MS) return;
    if (tookMs >= DISK_MS || startedAt - this.#slowAt < LATE_MS) this.#poolUntil = endedAt + POOL_MS;
    this.#slowAt = endedAt;
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
      let length = readSync(fd, this.#scratch, 0, FIRST_BYTES, 0);
      // The header tells a large one: the rest of that is for the pool.
      const header = readHeader(this.#scratch.subarray(0, length));
      if (header !== undefined && (header.sizeBytes > SMALL_BYTES || header.form === "blocks"))
        return undefined;
      // One octet more than a small blob has: a file that is longer than its header says shows without asking for its size.
      for (let read = -1; read !== 0 && length < this.#scratch.length; length += read)
        read = readSync(fd, this.#scratch, length, this.#scratch.length - length, length);
      if (length === this.#scratch.length) return undefined;
      return logicalBytes(this.#scratch.subarray(0, length), header, digest);
    } finally {
      closeSync(fd);
    }
  }
}

/** @returns a copy */
function logicalBytes(file: Buffer, header: ReturnType<typeof readHeader>, digest: string): Buffer {
  if (header === undefined)
    throw damaged(digest, file.length === 0 ? "the file is empty" : "its header is broken");
  const { form, sizeBytes } = header;
  const stored = file.subarray(HEADER_BYTES);
  const bytes = form === "plain" ? Buffer.from(stored) : unpacked(stored, sizeBytes, digest);
  if (bytes.length !== sizeBytes)
    throw damaged(digest, `it has ${bytes.length} octets, ${sizeBytes} are expected`);
  return bytes;
}

function unpacked(stored: Buffer, sizeBytes: number, digest: string): Buffer {
  try {
    return decompressedNow(stored, sizeBytes);
  } catch (error) {
    throw damaged(digest, messageOf(error), error);
  }
}

function verifyDigest(bytes: Buffer, digest: string): void {
  if (createHash("sha256").update(bytes).digest("hex") !== digest)
    throw damaged(digest, "its bytes do not match its digest");
}
