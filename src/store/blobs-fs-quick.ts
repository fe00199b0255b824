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
import { freeBytes } from "../platform/free-bytes.ts";
import { decompressed } from "./blobs-fs-codec.ts";
import { damaged, HEADER_BYTES, readHeader } from "./blobs-fs-format.ts";
import { READ_ONLY } from "./blobs-fs-io.ts";

/** Files up to this size are read here: the larger of stored and logical octets. */
const SMALL_BYTES = 128 * 1024;
/** The first read: most messages end within it. */
const FIRST_BYTES = 16 * 1024;
/** A read that took this long waited for the disk. */
const DISK_MS = 20;
/** One that took this long may have waited for a processor only. That is rare among reads, a slow disk is not: see `#slowness`. */
const SLOW_MS = 4;
/** What a slow read counts; each read takes one off. From twice as much on the pool is used. */
const SLOW_WEIGHT = 8;
/** How long the pool is used then. */
const POOL_MS = 250;
/** Work at a stretch, of all readers together. */
const SLICE_MS = 4;

/** What a file holds after its header. */
interface SmallFile {
  readonly bytes: Buffer;
  readonly packed: boolean;
  /** Octets it must have, unpacked. */
  readonly sizeBytes: number;
}

export class QuickReads {
  /** What a file is read into; its content is taken out before anybody else runs. */
  readonly #scratch = Buffer.allocUnsafeSlow(HEADER_BYTES + SMALL_BYTES + 1);
  /** Rises with slow reads that come close together. */
  #slowness = 0;
  #poolUntil = Number.NEGATIVE_INFINITY;
  #busyMs = 0;
  #turn: Promise<void> | undefined;
  readonly #now: () => number;

  /** @param now  milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

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
    if (this.#now() < this.#poolUntil) return undefined;
    const file = this.#timed(() => this.#readNow(path, digest));
    if (file === undefined) return undefined;
    // What of this is not done here, and not timed, takes long enough to be worth a thread.
    const bytes = file.packed ? await this.#timed(() => unpacked(file, digest)) : file.bytes;
    if (bytes.length !== file.sizeBytes)
      throw damaged(digest, `it has ${bytes.length} octets, ${file.sizeBytes} are expected`);
    if (verify) this.#timed(() => verifyDigest(bytes, digest));
    return bytes;
  }

  #timed<T>(work: () => T): T {
    const startedAt = this.#now();
    try {
      return work();
    } finally {
      this.#busyMs += this.#now() - startedAt;
    }
  }

  #judgeDisk(startedAt: number, endedAt: number): void {
    const tookMs = endedAt - startedAt;
    this.#slowness = Math.max(0, this.#slowness - 1) + (tookMs >= SLOW_MS ? SLOW_WEIGHT : 0);
    if (tookMs < DISK_MS && this.#slowness < 2 * SLOW_WEIGHT - 1) return;
    this.#slowness = 0;
    this.#poolUntil = endedAt + POOL_MS;
  }

  #nextTurn(): Promise<void> {
    this.#turn ??= setImmediate().then(() => {
      this.#busyMs = 0;
      this.#turn = undefined;
    });
    return this.#turn;
  }

  #readNow(path: string, digest: string): SmallFile | undefined {
    const startedAt = this.#now();
    try {
      return this.#readFile(path, digest);
    } finally {
      this.#judgeDisk(startedAt, this.#now());
    }
  }

  #readFile(path: string, digest: string): SmallFile | undefined {
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
      return smallFile(this.#scratch.subarray(0, length), header, digest);
    } finally {
      closeSync(fd);
    }
  }
}

/** @returns a copy */
function smallFile(file: Buffer, header: ReturnType<typeof readHeader>, digest: string): SmallFile {
  if (header === undefined)
    throw damaged(digest, file.length === 0 ? "the file is empty" : "its header is broken");
  const bytes = Buffer.from(file.subarray(HEADER_BYTES));
  return { bytes, packed: header.form !== "plain", sizeBytes: header.sizeBytes };
}

async function unpacked({ bytes, sizeBytes }: SmallFile, digest: string): Promise<Buffer> {
  try {
    return await decompressed(bytes, sizeBytes);
  } catch (error) {
    throw damaged(digest, messageOf(error), error);
  } finally {
    freeBytes(bytes);
  }
}

function verifyDigest(bytes: Buffer, digest: string): void {
  if (createHash("sha256").update(bytes).digest("hex") !== digest)
    throw damaged(digest, "its bytes do not match its digest");
}
