/**
 * Taking a message's bytes (step 6) and making them durable (step 7). Small messages stay in memory and become a file in one
 * write; larger ones go to a temporary file as they come. At most half a megabyte of memory each.
 *
 * States of a stage: open → finished | aborted; of a staged blob: temporary → durable, and discarded from either.
 * Failures: `disk_full`, `store_unavailable`, `invalid_state` for calls out of order.
 */
import { createHash } from "node:crypto";
import { MairustError } from "../core/errors.ts";
import { type BlobDigest, blobDigest } from "../core/ids.ts";
import type { BlobStage, ByteRange, PutRecord, StagedBlob } from "../core/ports/blobs.ts";
import { compressed, isWorthIt, isWorthTrying } from "./blobs-fs-codec.ts";
import type { BlobFiles, Prepared } from "./blobs-fs-files.ts";
import { codecOf, HEADER_BYTES, writeHeader } from "./blobs-fs-format.ts";
import { clamp } from "./blobs-fs-read.ts";
import type { FreeSpace } from "./blobs-fs-space.ts";
import { Spill } from "./blobs-fs-spill.ts";

/** Messages up to this size stay in memory until they are durable. */
export const MEMORY_BYTES = 128 * 1024;
const FIRST_BUFFER_BYTES = 8 * 1024;
const GROWTH = 4;
export interface StageOptions {
  readonly files: BlobFiles;
  readonly space: FreeSpace;
  readonly compress: boolean;
}

export class FsStage implements BlobStage {
  readonly #options: StageOptions;
  readonly #hash = createHash("sha256");
  #state: "open" | "finished" | "aborted" = "open";
  #sizeBytes = 0;
  /** Room for the header in front: an uncompressed blob is written as it lies here. */
  #buffer = Buffer.allocUnsafeSlow(FIRST_BUFFER_BYTES);
  #spill: Spill | undefined;
  #staged: FsStaged | undefined;
  /** The disk is too full for what came: the bytes are not all here. */
  #refused: unknown;

  constructor(options: StageOptions) {
    this.#options = options;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#state !== "open") return Promise.reject(outOfOrder("write to a blob", this.#state));
    let room: Promise<void> | undefined;
    try {
      room = this.#options.space.take(chunk.length);
    } catch (error) {
      this.#refused ??= error;
      return Promise.reject(error);
    }
    const taken = this.#take(chunk);
    // Both, and the bytes first: they are taken in order, and the next may come before the answer.
    return room === undefined ? taken : this.#whenRoom(room, taken);
  }

  async #whenRoom(room: Promise<void>, taken: Promise<void> | undefined): Promise<void> {
    const [judged, written] = await Promise.allSettled([room, taken]);
    if (judged.status === "rejected") {
      this.#refused ??= judged.reason;
      throw judged.reason;
    }
    if (written.status === "rejected") throw written.reason;
  }

  #take(chunk: Uint8Array): Promise<void> | undefined {
    this.#hash.update(chunk);
    const before = this.#sizeBytes;
    this.#sizeBytes += chunk.length;
    if (this.#spill !== undefined) return this.#spill.write(chunk);
    if (this.#sizeBytes > MEMORY_BYTES) return this.#startSpill(before, chunk);
    this.#reserve(HEADER_BYTES + this.#sizeBytes);
    this.#buffer.set(chunk, HEADER_BYTES + before);
    return undefined;
  }

  async finish(): Promise<StagedBlob> {
    if (this.#state !== "open") throw outOfOrder("finish a blob", this.#state);
    if (this.#refused !== undefined) throw this.#refused;
    this.#state = "finished";
    const digest = blobDigest(this.#hash.digest("hex"));
    const bytes = this.#spill === undefined ? this.#inMemory() : await this.#onDisk(this.#spill);
    this.#staged = new FsStaged(this.#options.files, digest, this.#sizeBytes, bytes);
    // `abort` may have come while the above waited; it saw no staged blob to drop.
    if (this.#isAborted()) await this.#staged.discard();
    return this.#staged;
  }

  async abort(): Promise<void> {
    const staged = this.#staged;
    this.#state = "aborted";
    this.#buffer = Buffer.alloc(0);
    if (staged !== undefined) await staged.discard();
    else await this.#spill?.close(true);
  }

  #isAborted(): boolean {
    return this.#state === "aborted";
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(
      Math.min(Math.max(bytes, this.#buffer.length * GROWTH), HEADER_BYTES + MEMORY_BYTES),
    );
    larger.set(this.#buffer);
    this.#buffer = larger;
  }

  #startSpill(buffered: number, chunk: Uint8Array): Promise<void> | undefined {
    const held = this.#buffer.subarray(HEADER_BYTES, HEADER_BYTES + buffered);
    this.#buffer = Buffer.alloc(0);
    const spill = new Spill(this.#options.files.temporary(), this.#options.compress);
    this.#spill = spill;
    // Both are queued behind the opening of the file, in this order; the second tells of the first's failure too.
    spill.write(held)?.catch(() => undefined);
    return spill.write(chunk);
  }

  #inMemory(): Buffered {
    this.#reserve(HEADER_BYTES + this.#sizeBytes);
    const image = this.#buffer.subarray(0, HEADER_BYTES + this.#sizeBytes);
    this.#buffer = Buffer.alloc(0);
    return { kind: "buffered", image, compress: this.#options.compress };
  }

  async #onDisk(spill: Spill): Promise<Spilled> {
    try {
      await spill.end(this.#sizeBytes);
      return { kind: "file", spill, codec: codecOf(spill.form) };
    } catch (error) {
      await spill.close(true);
      throw error;
    }
  }
}

/** All bytes, with room for a header in front. They are packed when they are to be durable: what is refused costs no compression. */
interface Buffered {
  readonly kind: "buffered";
  readonly image: Buffer;
  readonly compress: boolean;
}

type Spilled = Extract<Prepared, { readonly kind: "file" }>;

async function packed({ image, compress }: Buffered): Promise<Prepared> {
  const raw = image.subarray(HEADER_BYTES);
  if (compress && isWorthTrying(raw)) {
    const small = await compressed(raw);
    if (isWorthIt(raw.length, small.length)) {
      const file = Buffer.allocUnsafe(HEADER_BYTES + small.length);
      writeHeader(file, "brotli", raw.length);
      file.set(small, HEADER_BYTES);
      return { kind: "memory", image: file, codec: "brotli" };
    }
  }
  writeHeader(image, "plain", raw.length);
  return { kind: "memory", image, codec: "none" };
}

class FsStaged implements StagedBlob {
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  readonly #files: BlobFiles;
  readonly #bytes: Buffered | Spilled;
  #persisting: Promise<PutRecord> | undefined;
  #discarded = false;
  #durable = false;

  constructor(files: BlobFiles, digest: BlobDigest, sizeBytes: number, bytes: Buffered | Spilled) {
    this.#files = files;
    this.digest = digest;
    this.sizeBytes = sizeBytes;
    this.#bytes = bytes;
  }

  async *read(range?: ByteRange): AsyncGenerator<Uint8Array> {
    if (this.#discarded) throw outOfOrder("read a staged blob", "discarded");
    if (this.#bytes.kind === "buffered") {
      const { start, end } = clamp(range, this.sizeBytes);
      if (start < end) yield this.#bytes.image.subarray(HEADER_BYTES + start, HEADER_BYTES + end);
    } else yield* this.#files.readStaged(this.#bytes.spill.path, this.digest, range);
  }

  persist(): Promise<PutRecord> {
    if (this.#discarded) return Promise.reject(outOfOrder("store a staged blob", "discarded"));
    this.#persisting ??= this.#persist();
    return this.#persisting;
  }

  async discard(): Promise<void> {
    if (this.#discarded) return;
    this.#discarded = true;
    await this.#persisting?.catch(() => undefined);
    if (this.#bytes.kind === "file") await this.#bytes.spill.close(!this.#durable);
  }

  async #persist(): Promise<PutRecord> {
    try {
      const prepared = this.#bytes.kind === "buffered" ? await packed(this.#bytes) : this.#bytes;
      const record = await this.#files.publish(this.digest, this.sizeBytes, prepared);
      this.#durable = true;
      return record;
    } catch (error) {
      // From memory it can be tried again; after a failed fsync of a file nobody knows what is on the disk.
      if (this.#bytes.kind === "buffered") this.#persisting = undefined;
      throw error;
    }
  }
}

function outOfOrder(action: string, state: string): MairustError {
  return new MairustError("invalid_state", `Cannot ${action}: it is ${state}`);
}
