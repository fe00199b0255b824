/**
 * Blobs as files (steps 6, 7 and 9): the `fs` driver of {@link BlobStore}.
 *
 * How a blob lies on the disk: `blobs-fs-layout.ts` (names) and `blobs-fs-format.ts` (content). A file with its final name is
 * complete and durable; whatever else a crash leaves is in `tmp/`.
 * Failures: `blob_missing`, `blob_damaged`, `disk_full`, `store_unavailable`.
 */

import type { BlobDigest } from "../core/ids.ts";
import type { BlobUpkeep } from "../core/ports/blob-upkeep.ts";
import type { BlobRecord, BlobStage, BlobStore, ByteRange } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import { DirectorySync } from "./blobs-fs-dirs.ts";
import { BlobFiles, type OnUnreadable } from "./blobs-fs-files.ts";
import { blobError, closeFile, errnoOf, openFile, READ_ONLY, syncFile } from "./blobs-fs-io.ts";
import { BlobLayout } from "./blobs-fs-layout.ts";
import { FreeSpace } from "./blobs-fs-space.ts";
import { FsStage } from "./blobs-fs-stage.ts";
import { FsUpkeep } from "./blobs-fs-upkeep.ts";

export interface FsBlobOptions {
  /** `blobs.path`, absolute; made when missing. */
  readonly path: string;
  readonly compression: "brotli" | "none";
  /** `limits.min_free_disk_mb` in octets: below it nothing is taken. Asked for each judgement, so that it may change. */
  readonly minFreeBytes: () => number;
  readonly log: Log;
  /** Told of each read that found a blob missing or damaged. */
  readonly onUnreadable?: OnUnreadable;
}

export interface FsBlobStore extends BlobStore {
  readonly upkeep: BlobUpkeep;
  /** Folders whose fsync failed: they take nothing more until the service starts anew. */
  readonly failedFolders: readonly string[];
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
  const files = new BlobFiles(layout, dirs, options.onUnreadable);
  return new FsBlobs(files, dirs, space, options.compression === "brotli", new FsUpkeep(layout, files));
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
  readonly #files: BlobFiles;
  readonly #dirs: DirectorySync;
  readonly #space: FreeSpace;
  readonly #compress: boolean;
  readonly upkeep: BlobUpkeep;

  constructor(
    files: BlobFiles,
    dirs: DirectorySync,
    space: FreeSpace,
    compress: boolean,
    upkeep: BlobUpkeep,
  ) {
    this.upkeep = upkeep;
    this.#files = files;
    this.#dirs = dirs;
    this.#space = space;
    this.#compress = compress;
  }

  get failedFolders(): readonly string[] {
    return this.#dirs.failed;
  }

  stage(): BlobStage {
    return new FsStage({ files: this.#files, space: this.#space, compress: this.#compress });
  }

  get(digest: BlobDigest, range?: ByteRange): AsyncIterable<Uint8Array> {
    return this.#files.read(digest, range);
  }

  head(digest: BlobDigest): Promise<BlobRecord | undefined> {
    return this.#files.head(digest);
  }

  delete(digest: BlobDigest): Promise<void> {
    return this.#files.remove(digest);
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
