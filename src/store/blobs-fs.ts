/**
 * Blobs as files (steps 6, 7 and 9): the `fs` driver of {@link BlobStore}.
 *
 * How a blob lies on the disk: `blobs-fs-layout.ts` (names) and `blobs-fs-format.ts` (content). A file with its final name is
 * complete and durable; whatever else a crash leaves is in `tmp/`.
 * Failures: `blob_missing`, `blob_damaged`, `disk_full`, `store_unavailable`.
 */

import type { BlobDigest } from "../core/ids.ts";
import type { BlobRecord, BlobStage, BlobStore, ByteRange, StoredBlob } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import { DirectorySync } from "./blobs-fs-dirs.ts";
import { BlobFiles } from "./blobs-fs-files.ts";
import { blobError, closeFile, errnoOf, openFile, READ_ONLY, syncFile } from "./blobs-fs-io.ts";
import { BlobLayout } from "./blobs-fs-layout.ts";
import { FreeSpace } from "./blobs-fs-space.ts";
import { FsStage } from "./blobs-fs-stage.ts";

export interface FsBlobOptions {
  /** `blobs.path`, absolute; made when missing. */
  readonly path: string;
  readonly compression: "brotli" | "none";
  /** `limits.min_free_disk_mb` in octets: below it nothing is taken. Asked for each judgement, so that it may change. */
  readonly minFreeBytes: () => number;
  readonly log: Log;
}

export interface FsBlobStore extends BlobStore {
  /** Close what is kept open. Call it when no operation is under way. */
  close(): Promise<void>;
}

/**
 * Make the folders and remove what a killed process left.
 * @throws {MairustError} `disk_full`, `store_unavailable`: the folder cannot be used
 */
export async function openFsBlobs(options: FsBlobOptions): Promise<FsBlobStore> {
  const layout = new BlobLayout(options.path);
  const dirs = new DirectorySync();
  const space = new FreeSpace(options.path, options.minFreeBytes);
  try {
    const { above, removed } = await layout.prepare();
    // Always: who made the folders may have died before they were durable, and a blob is not more durable than its folder.
    await syncFolder(options.path);
    for (const folder of above) await syncFolder(folder).catch(unlessForbidden);
    if (removed > 0) options.log.info("unfinished blobs removed", { count: removed });
    await space.refresh();
  } catch (error) {
    throw blobError(error, `open the blob folder "${options.path}"`);
  }
  return new FsBlobs(layout, dirs, space, options.compression === "brotli");
}

/** A folder above ours that we may not read is somebody else's to have made durable. */
function unlessForbidden(error: unknown): void {
  if (errnoOf(error) !== "EACCES") throw error;
}

async function syncFolder(path: string): Promise<void> {
  const fd = await openFile(path, READ_ONLY);
  try {
    await syncFile(fd);
  } finally {
    await closeFile(fd);
  }
}

class FsBlobs implements FsBlobStore {
  readonly #layout: BlobLayout;
  readonly #files: BlobFiles;
  readonly #dirs: DirectorySync;
  readonly #space: FreeSpace;
  readonly #compress: boolean;

  constructor(layout: BlobLayout, dirs: DirectorySync, space: FreeSpace, compress: boolean) {
    this.#layout = layout;
    this.#files = new BlobFiles(layout, dirs);
    this.#dirs = dirs;
    this.#space = space;
    this.#compress = compress;
  }

  stage(): BlobStage {
    return new FsStage({ files: this.#files, space: this.#space, compress: this.#compress });
  }

  get(digest: BlobDigest, range?: ByteRange): AsyncIterable<Uint8Array> {
    return this.#files.read(digest, range);
  }

  open(digest: BlobDigest, range: ByteRange): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
    return this.#files.open(digest, range);
  }

  head(digest: BlobDigest): Promise<BlobRecord | undefined> {
    return this.#files.head(digest);
  }

  delete(digest: BlobDigest): Promise<void> {
    return this.#files.remove(digest);
  }

  confirm(digest: BlobDigest): Promise<BlobRecord | undefined> {
    return this.#files.confirm(digest);
  }

  async *list(): AsyncGenerator<StoredBlob> {
    try {
      yield* this.#layout.list();
    } catch (error) {
      throw blobError(error, "list the blobs");
    }
  }

  async removeLeftovers(): Promise<number> {
    try {
      return await this.#layout.removeLeftovers();
    } catch (error) {
      throw blobError(error, "remove unfinished blobs");
    }
  }

  async verify(digest: BlobDigest): Promise<void> {
    for await (const _ of this.#files.read(digest));
  }

  freeBytes(): Promise<number> {
    return this.#space.refresh();
  }

  close(): Promise<void> {
    return this.#dirs.close();
  }
}
