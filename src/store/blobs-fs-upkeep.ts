/**
 * What the collector and `scrub` see of the blob folder: a part is one of its 256 folders. Beside them lies `owner`, a file with the
 * id of the database that the blobs belong to: a collector over another database would take all of them for leftovers.
 * Failures: `store_unavailable`.
 */
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { MairustError } from "../core/errors.ts";
import { type BlobDigest, blobDigest } from "../core/ids.ts";
import type { BlobCheck, BlobUpkeep, StoredObject } from "../core/ports/blob-upkeep.ts";
import type { BlobRecord } from "../core/ports/blobs.ts";
import type { BlobFiles } from "./blobs-fs-files.ts";
import { blobError, errnoOf, isMissing } from "./blobs-fs-io.ts";
import type { BlobLayout } from "./blobs-fs-layout.ts";

const PARTS = 256;
const REST_OF_DIGEST = /^[0-9a-f]{62}$/;
const OWNER_FILE = "owner";
const OWNER = /^[0-9a-f-]{36}$/;
/** How old what the store's clock says may become: it is asked by writing a file. */
const CLOCK_MS = 60_000;

export class FsUpkeep implements BlobUpkeep {
  readonly parts = PARTS;
  readonly #layout: BlobLayout;
  readonly #files: BlobFiles;
  /** The store's clock minus ours, and when that was found. */
  #offsetMs = 0;
  #offsetAt = Number.NEGATIVE_INFINITY;

  constructor(layout: BlobLayout, files: BlobFiles) {
    this.#layout = layout;
    this.#files = files;
  }

  async *names(part: number): AsyncGenerator<string> {
    try {
      for await (const entry of await fs.opendir(this.#folder(part))) yield entry.name;
    } catch (error) {
      throw blobError(error, `list blob folder ${part}`);
    }
  }

  digestOf(part: number, name: string): BlobDigest | undefined {
    return REST_OF_DIGEST.test(name) ? blobDigest(shardName(part) + name) : undefined;
  }

  async look(part: number, name: string): Promise<StoredObject | undefined> {
    try {
      const offsetMs = await this.#clockOffset();
      const { size, mtimeMs } = await fs.stat(join(this.#folder(part), name));
      const ageMs = Date.now() + Math.min(0, offsetMs) - mtimeMs;
      return { digest: this.digestOf(part, name), name, storedBytes: size, ageMs };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw blobError(error, `look at blob file "${name}"`);
    }
  }

  remove(digest: BlobDigest): Promise<void> {
    return this.#files.remove(digest);
  }

  secure(digest: BlobDigest, sizeBytes: number): Promise<BlobRecord | undefined> {
    return this.#files.secure(digest, sizeBytes);
  }

  check(digest: BlobDigest, whole: boolean): Promise<BlobCheck> {
    return this.#files.check(digest, whole);
  }

  async removeLeftovers(): Promise<number> {
    try {
      return await this.#layout.removeLeftovers();
    } catch (error) {
      throw blobError(error, "remove temporary blob files");
    }
  }

  async countTemporary(): Promise<number> {
    try {
      return (await fs.readdir(join(this.#layout.root, "tmp"))).length;
    } catch (error) {
      throw blobError(error, "list temporary blob files");
    }
  }

  async owner(): Promise<string | undefined> {
    const path = join(this.#layout.root, OWNER_FILE);
    let text: string;
    try {
      text = (await fs.readFile(path, "utf8")).trim();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw blobError(error, "read the owner of the blob folder");
    }
    if (OWNER.test(text)) return text;
    throw new MairustError("data_invalid", `Cannot read the owner of the blob folder: "${path}" is damaged`);
  }

  /** By a hard link, so that the file is there as a whole or not at all, and the first one stays. */
  async claim(owner: string): Promise<string> {
    const temporary = this.#layout.temporary();
    try {
      await fs.writeFile(temporary, `${owner}\n`, { mode: 0o600, flush: true });
      await fs.link(temporary, join(this.#layout.root, OWNER_FILE)).catch(error => {
        if (errnoOf(error) !== "EEXIST") throw error;
      });
      await fs.unlink(temporary);
    } catch (error) {
      throw blobError(error, "claim the blob folder");
    }
    return (await this.owner()) ?? owner;
  }

  #folder(part: number): string {
    return join(this.#layout.root, shardName(part));
  }

  /** A shared folder's server has a clock of its own; a new file shows it. */
  async #clockOffset(): Promise<number> {
    const now = performance.now();
    if (now - this.#offsetAt < CLOCK_MS) return this.#offsetMs;
    const probe = this.#layout.temporary();
    await fs.writeFile(probe, "", { mode: 0o600 });
    try {
      this.#offsetMs = (await fs.stat(probe)).mtimeMs - Date.now();
    } finally {
      await fs.unlink(probe);
    }
    this.#offsetAt = now;
    return this.#offsetMs;
  }
}

function shardName(part: number): string {
  return part.toString(16).padStart(2, "0");
}
