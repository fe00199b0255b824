/** Where message bytes are kept; `store/blobs-fs.ts` implements it. */
import type { BlobDigest } from "../ids.ts";

/** Half-open octet range `[start, end)` of a blob's logical (uncompressed) bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** When a put began, by two clocks of this process (`store/put-age.ts`). */
export interface PutMoment {
  readonly steadyMs: number;
  readonly wallMs: number;
}

/** What the database records of a durable blob. */
export interface BlobRecord {
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  readonly storedBytes: number;
  readonly codec: "none" | "brotli";
  /** Of a put; not recorded. */
  readonly putAt?: PutMoment;
}

/** A blob that was put. */
export interface PutRecord extends BlobRecord {
  readonly putAt: PutMoment;
}

/** A blob as the storage itself knows it. */
export interface StoredBlob {
  readonly digest: BlobDigest;
  /** Last put. */
  readonly modifiedAt: Date;
  /** As stored: compressed. */
  readonly storedBytes: number;
}

/** Takes a message's bytes as they arrive; memory stays bounded whatever the size. */
export interface BlobStage {
  /** @returns a promise when the writer must wait (back-pressure), else undefined. Errors: `disk_full`. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** No more bytes: the digest is known, nothing is durable yet. */
  finish(): Promise<StagedBlob>;
  /** Drop everything. Safe in any state, never throws. */
  abort(): Promise<void>;
}

export interface StagedBlob {
  readonly digest: BlobDigest;
  readonly sizeBytes: number;
  /** Read before (or after) `persist`. */
  read(range?: ByteRange): AsyncIterable<Uint8Array>;
  /** Make it durable: fsynced under its final name, directory too. May be called more than once. Errors: `disk_full`. */
  persist(): Promise<PutRecord>;
  /** Release what is only temporary; a persisted blob stays. Never throws. */
  discard(): Promise<void>;
}

export interface BlobStore {
  stage(): BlobStage;
  /**
   * A chunk is its reader's alone, with the memory behind it.
   * @throws {MairustError} `blob_missing`, `blob_damaged` (also while iterating)
   */
  get(digest: BlobDigest, range?: ByteRange): AsyncIterable<Uint8Array>;
  /** The same for who wants to be quick: all octets when the blob is small, else its chunks. */
  open(digest: BlobDigest, range: ByteRange): Promise<Uint8Array | AsyncIterable<Uint8Array>>;
  head(digest: BlobDigest): Promise<BlobRecord | undefined>;
  /** Idempotent. Only for the collector (`store/blob-gc.ts`): whatever has a row, or may get one at this moment, needs its rules. */
  delete(digest: BlobDigest): Promise<void>;
  /** Hash it and make sure that it is durable under its name. @returns undefined: missing or damaged */
  confirm(digest: BlobDigest): Promise<BlobRecord | undefined>;
  /** All blobs that are there, in no order, in bounded memory; what comes and goes meanwhile may be left out. */
  list(): AsyncIterable<StoredBlob>;
  /** Remove what uploads that ended long ago left behind. @returns how many files */
  removeLeftovers(): Promise<number>;
  /** Hash the stored bytes again. @throws `blob_missing`, `blob_damaged` */
  verify(digest: BlobDigest): Promise<void>;
  /** Octets free for new blobs. */
  freeBytes(): Promise<number>;
}
