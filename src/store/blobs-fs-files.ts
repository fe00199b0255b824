/**
 * Blob files under their final names (step 7): published, found, read.
 *
 * Publishing is: temporary file, fsync, rename, fsync of the directory. It always takes the place of what is there under the same
 * digest: nobody needs to trust the old file, who reads it keeps it, and its age begins anew. Asking first whether it is there
 * would cost every message a trip to the file system, and hardly any message comes twice.
 * Failures: `disk_full`, `store_unavailable`, `blob_missing`, `blob_damaged`.
 */
import { MairustError } from "../core/errors.ts";
import type { BlobDigest } from "../core/ids.ts";
import type { BlobRecord, ByteRange, PutRecord } from "../core/ports/blobs.ts";
import type { DirectorySync } from "./blobs-fs-dirs.ts";
import { type Codec, codecOf } from "./blobs-fs-format.ts";
import {
  blobError,
  CREATE_NEW_SYNCED,
  closeDurable,
  closeFile,
  isMissing,
  openFile,
  READ_ONLY,
  removeFile,
  renameFile,
  writeFully,
} from "./blobs-fs-io.ts";
import type { BlobLayout } from "./blobs-fs-layout.ts";
import { QuickReads } from "./blobs-fs-quick.ts";
import { clamp, inspect, readStored, type StoredFile } from "./blobs-fs-read.ts";
import type { Spill } from "./blobs-fs-spill.ts";
import { putMoment } from "./put-age.ts";

/** A blob whose digest is known, not durable yet. `image`: what the file will hold. */
export type Prepared =
  | { readonly kind: "memory"; readonly image: Buffer; readonly codec: Codec }
  | { readonly kind: "file"; readonly spill: Spill; readonly codec: Codec };

export class BlobFiles {
  readonly #layout: BlobLayout;
  readonly #dirs: DirectorySync;
  readonly #quick = new QuickReads();

  constructor(layout: BlobLayout, dirs: DirectorySync) {
    this.#layout = layout;
    this.#dirs = dirs;
  }

  temporary(): string {
    return this.#layout.temporary();
  }

  /** Make it durable under its digest. */
  async publish(digest: BlobDigest, sizeBytes: number, prepared: Prepared): Promise<PutRecord> {
    const putAt = putMoment();
    try {
      const { dir, path } = this.#layout.place(digest);
      if (prepared.kind === "file")
        return { ...(await this.#publishSpill(digest, sizeBytes, prepared)), putAt };
      await this.#writeNew(prepared.image, path);
      await this.#dirs.sync(dir);
      return { digest, sizeBytes, storedBytes: prepared.image.length, codec: prepared.codec, putAt };
    } catch (error) {
      throw blobError(error, `store blob "${digest}"`);
    }
  }

  /** @throws {MairustError} `blob_missing`, `blob_damaged` */
  async *read(digest: BlobDigest, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const opened = await this.open(digest, range);
    if (!(opened instanceof Uint8Array)) yield* opened;
    else if (opened.length > 0) yield opened;
  }

  /** All octets of a small blob, else its chunks. @throws {MairustError} `blob_missing`, `blob_damaged` */
  async open(digest: BlobDigest, range?: ByteRange): Promise<Uint8Array | AsyncGenerator<Uint8Array>> {
    const small = await this.#readSmall(digest, range === undefined);
    if (small === undefined) return this.#readLarge(digest, range);
    const { start, end } = clamp(range, small.length);
    return small.subarray(start, end);
  }

  /** Open, use and close a stored blob. */
  async *#readLarge(digest: BlobDigest, range?: ByteRange): AsyncGenerator<Uint8Array> {
    const fd = await this.#open(digest);
    try {
      yield* readStored(await this.#inspect(fd, digest), digest, range);
    } finally {
      await closeFile(fd);
    }
  }

  /**
   * Read a blob from its temporary file, or from its final one if it got that meanwhile. Each reader has a descriptor of its own,
   * so that one who stays behind never reads through a number that belongs to another file by then.
   */
  async *readStaged(temporary: string, digest: BlobDigest, range?: ByteRange): AsyncGenerator<Uint8Array> {
    let fd: number;
    try {
      fd = await openFile(temporary, READ_ONLY);
    } catch (error) {
      if (!isMissing(error)) throw blobError(error, `read blob "${digest}"`);
      yield* this.read(digest, range);
      return;
    }
    try {
      yield* readStored(await this.#inspect(fd, digest), digest, range);
    } finally {
      await closeFile(fd);
    }
  }

  /** @returns undefined when there is none. @throws {MairustError} `blob_damaged` */
  async head(digest: BlobDigest): Promise<BlobRecord | undefined> {
    let fd: number;
    try {
      fd = await this.#open(digest);
    } catch (error) {
      if (error instanceof MairustError && error.code === "blob_missing") return undefined;
      throw error;
    }
    try {
      return recordOf(digest, await this.#inspect(fd, digest));
    } finally {
      await closeFile(fd);
    }
  }

  /** @returns undefined: missing or damaged */
  async confirm(digest: BlobDigest): Promise<BlobRecord | undefined> {
    try {
      for await (const _ of this.read(digest));
      const record = await this.head(digest);
      // Who put it may not have come that far: its name is durable only after this.
      if (record !== undefined) await this.#dirs.sync(this.#layout.place(digest).dir);
      return record;
    } catch (error) {
      const failure = blobError(error, `confirm blob "${digest}"`);
      if (failure.code === "blob_missing" || failure.code === "blob_damaged") return undefined;
      throw failure;
    }
  }

  async remove(digest: BlobDigest): Promise<void> {
    try {
      await removeFile(this.#layout.place(digest).path);
    } catch (error) {
      throw blobError(error, `delete blob "${digest}"`);
    }
  }

  async #open(digest: BlobDigest): Promise<number> {
    const { path } = this.#layout.place(digest);
    try {
      return await openFile(path, READ_ONLY);
    } catch (error) {
      throw openError(error, digest);
    }
  }

  async #readSmall(digest: BlobDigest, verify: boolean): Promise<Buffer | undefined> {
    const { path } = this.#layout.place(digest);
    try {
      return await this.#quick.read(path, digest, verify);
    } catch (error) {
      throw openError(error, digest);
    }
  }

  async #inspect(fd: number, digest: BlobDigest): Promise<StoredFile> {
    try {
      return await inspect(fd, digest);
    } catch (error) {
      throw blobError(error, `read blob "${digest}"`);
    }
  }

  async #publishSpill(
    digest: BlobDigest,
    sizeBytes: number,
    { spill, codec }: Prepared & { readonly kind: "file" },
  ): Promise<BlobRecord> {
    const { dir, path } = this.#layout.place(digest);
    await spill.sync();
    await renameFile(spill.path, path);
    await this.#dirs.sync(dir);
    await spill.close(false);
    return { digest, sizeBytes, storedBytes: spill.fileBytes, codec };
  }

  async #writeNew(image: Buffer, path: string): Promise<void> {
    const temporary = this.#layout.temporary();
    const fd = await openFile(temporary, CREATE_NEW_SYNCED);
    try {
      await writeFully(fd, image, 0);
      await renameFile(temporary, path);
    } catch (error) {
      // The first failure is what counts; a leftover is removed at the next start.
      await removeFile(temporary).catch(() => undefined);
      throw error;
    } finally {
      closeDurable(fd);
    }
  }
}

function openError(error: unknown, digest: BlobDigest): MairustError {
  if (!isMissing(error)) return blobError(error, `open blob "${digest}"`);
  return new MairustError("blob_missing", `Cannot open blob "${digest}": it is not there`, { cause: error });
}

function recordOf(digest: BlobDigest, file: StoredFile): BlobRecord {
  return { digest, sizeBytes: file.sizeBytes, storedBytes: file.fileBytes, codec: codecOf(file.form) };
}
