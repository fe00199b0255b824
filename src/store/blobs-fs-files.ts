/**
 * Blob files under their final names (step 7): published, found, read.
 *
 * Publishing is: temporary file, fsync, rename, fsync of the directory. A small blob that is there already and hashes right is used
 * again, with a new modification time (a collector of old files leaves it alone); one that is damaged is replaced. A large one is
 * on the disk by the time its digest is known, so it always takes the place of what is there: nobody needs to trust the old file,
 * and who reads it keeps it.
 * Failures: `disk_full`, `store_unavailable`, `blob_missing`, `blob_damaged`.
 */
import { MairustError } from "../core/errors.ts";
import type { BlobDigest } from "../core/ids.ts";
import type { BlobCheck } from "../core/ports/blob-upkeep.ts";
import type { BlobRecord, ByteRange } from "../core/ports/blobs.ts";
import type { DirectorySync } from "./blobs-fs-dirs.ts";
import type { Codec } from "./blobs-fs-format.ts";
import {
  blobError,
  CREATE_NEW,
  closeFile,
  isMissing,
  openFile,
  READ_ONLY,
  removeFile,
  renameFile,
  syncFile,
  touchFile,
  writeFully,
} from "./blobs-fs-io.ts";
import type { BlobLayout } from "./blobs-fs-layout.ts";
import { inspect, readStored, type StoredFile } from "./blobs-fs-read.ts";
import type { Spill } from "./blobs-fs-spill.ts";
import { putMoment } from "./put-age.ts";

/** A blob whose digest is known, not durable yet. `image`: what the file will hold; `raw`: the logical bytes. */
export type Prepared =
  | { readonly kind: "memory"; readonly raw: Buffer; readonly image: Buffer; readonly codec: Codec }
  | { readonly kind: "file"; readonly spill: Spill; readonly codec: Codec };

/** What a disk or file system says of one damaged file; EISDIR: something else lies at its place. */
const UNREADABLE: ReadonlySet<string> = new Set(["EIO", "EBADMSG", "EUCLEAN", "EISDIR"]);

/** Told of each read that failed for one of these reasons; must not throw. */
export type OnUnreadable = (digest: BlobDigest, code: "blob_missing" | "blob_damaged") => void;

export class BlobFiles {
  readonly #layout: BlobLayout;
  readonly #dirs: DirectorySync;
  readonly #onUnreadable: OnUnreadable | undefined;

  constructor(layout: BlobLayout, dirs: DirectorySync, onUnreadable?: OnUnreadable) {
    this.#layout = layout;
    this.#dirs = dirs;
    this.#onUnreadable = onUnreadable;
  }

  temporary(): string {
    return this.#layout.temporary();
  }

  /** Make it durable under its digest. */
  async publish(digest: BlobDigest, sizeBytes: number, prepared: Prepared): Promise<BlobRecord> {
    const putAt = putMoment();
    try {
      const { dir, path } = this.#layout.place(digest);
      if (prepared.kind === "file")
        return { ...(await this.#publishSpill(digest, sizeBytes, prepared)), putAt };
      const reused = await this.#reuse(digest, sizeBytes);
      if (reused === undefined) await this.#writeNew(prepared.image, path);
      await this.#dirs.sync(dir);
      const written = { digest, sizeBytes, storedBytes: prepared.image.length, codec: prepared.codec };
      return { ...(reused ?? written), putAt };
    } catch (error) {
      throw blobError(error, `store blob "${digest}"`);
    }
  }

  /** As a put that finds the blob there. @returns undefined: missing, damaged or of another size */
  async secure(digest: BlobDigest, sizeBytes: number): Promise<BlobRecord | undefined> {
    const found = await this.#reuse(digest, sizeBytes);
    // Who put it may not have come that far: its name is durable only after this.
    if (found !== undefined) await this.#dirs.sync(this.#layout.place(digest).dir);
    return found;
  }

  /** Open, use and close a stored blob. @throws {MairustError} `blob_missing`, `blob_damaged` */
  async *read(digest: BlobDigest, range?: ByteRange): AsyncGenerator<Uint8Array> {
    let fd: number | undefined;
    try {
      fd = await this.#open(digest);
      yield* readStored(await this.#inspect(fd, digest), digest, range);
    } catch (error) {
      const code = error instanceof MairustError ? error.code : undefined;
      if (code === "blob_missing" || code === "blob_damaged") this.#onUnreadable?.(digest, code);
      throw error;
    } finally {
      if (fd !== undefined) await closeFile(fd);
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

  /** As reading, but what is wrong is an answer and no alarm. @param whole  hash it. @throws {MairustError} `store_unavailable` */
  async check(digest: BlobDigest, whole: boolean): Promise<BlobCheck> {
    let fd: number | undefined;
    try {
      fd = await this.#open(digest);
      const file = await this.#inspect(fd, digest);
      if (whole) for await (const _ of readStored(file, digest));
      return { state: "ok", record: recordOf(digest, file) };
    } catch (error) {
      const failure = blobError(error, `read blob "${digest}"`);
      if (failure.code === "blob_missing") return { state: "missing", why: "its file is not there" };
      // The disk gives this file's octets no more, or the file system knows that they are wrong.
      const isDamage = failure.code === "blob_damaged" || UNREADABLE.has(String(failure.context.errno));
      if (!isDamage) throw failure;
      return { state: "damaged", why: failure.message };
    } finally {
      if (fd !== undefined) await closeFile(fd);
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
      if (isMissing(error))
        throw new MairustError("blob_missing", `Cannot open blob "${digest}": it is not there`, {
          cause: error,
        });
      throw blobError(error, `open blob "${digest}"`);
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
    const fd = await openFile(temporary, CREATE_NEW);
    try {
      await writeFully(fd, image, 0);
      await syncFile(fd);
      await renameFile(temporary, path);
    } catch (error) {
      // The first failure is what counts; a leftover is removed at the next start.
      await removeFile(temporary).catch(() => undefined);
      throw error;
    } finally {
      await closeFile(fd);
    }
  }

  /** Use the blob that is there after hashing it. Whatever is wrong with it, writing it again is right: so no failure leaves here. */
  async #reuse(digest: BlobDigest, sizeBytes: number): Promise<BlobRecord | undefined> {
    let fd: number;
    try {
      fd = await openFile(this.#layout.place(digest).path, READ_ONLY);
    } catch {
      return undefined;
    }
    try {
      const file = await inspect(fd, digest);
      if (file.sizeBytes !== sizeBytes) return undefined;
      for await (const _ of readStored(file, digest));
      await touchFile(fd);
      return recordOf(digest, file);
    } catch {
      return undefined;
    } finally {
      await closeFile(fd);
    }
  }
}

function recordOf(digest: BlobDigest, file: StoredFile): BlobRecord {
  return { digest, sizeBytes: file.sizeBytes, storedBytes: file.fileBytes, codec: file.codec };
}
