/**
 * Where blobs lie below `blobs.path` (step 7): `ab/cdef…` by digest, `tmp/` for what is not finished. Files 0600, folders 0700.
 *
 * All 256 folders are made at start, so that storing never makes one.
 *
 * `tmp/` may be shared by nodes, and neither host name nor process number tells two containers apart. So a temporary name holds random
 * octets too, and what a killed process left is removed at start by age: after a day in any case; after six hours when the name says
 * this host and no process here has that number (or only this one, which began with other octets). Both are longer than any message
 * may take to arrive and be stored, so a file that is in use elsewhere is never removed.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { MairustError } from "../core/errors.ts";
import type { BlobDigest } from "../core/ids.ts";
import { blobDigest } from "../core/ids.ts";
import type { StoredBlob } from "../core/ports/blobs.ts";
import { isMissing, removeFile } from "./blobs-fs-io.ts";
import { isAlive } from "./embedded-process.ts";

const DIGEST = /^[0-9a-f]{64}$/;
const SHARDS = 256;
/** Older temporary files are removed whoever made them. */
const ABANDONED_MS = 24 * 3_600_000;
/** Older ones of a process that is gone from this host. An upload ends after an hour at most, its hooks and commit in minutes. */
const LEFTOVER_MS = 6 * 3_600_000;
const TOKEN_BYTES = 8;

export class BlobLayout {
  readonly root: string;
  readonly #host: string;
  readonly #token = randomBytes(TOKEN_BYTES).toString("hex");
  #counter = 0;

  /** @param root  absolute path of the blob folder */
  constructor(root: string) {
    this.root = root;
    this.#host = hostname().replace(/[^A-Za-z0-9-]/g, "_") || "host";
  }

  /** Folder and file of a blob. @throws {MairustError} `invalid_argument`: not 64 hex digits, which could name any path */
  place(digest: BlobDigest): { readonly dir: string; readonly path: string } {
    if (!DIGEST.test(digest))
      throw new MairustError("invalid_argument", `Cannot name blob "${digest}": not a SHA-256`);
    const dir = `${this.root}/${digest.slice(0, 2)}`;
    return { dir, path: `${dir}/${digest.slice(2)}` };
  }

  /** A temporary name that no other process and no other call has. */
  temporary(): string {
    this.#counter += 1;
    return `${this.root}/tmp/${this.#host}.${process.pid}.${this.#token}.${this.#counter}`;
  }

  /**
   * Make what is missing and remove what was left over.
   * @returns `above`: folders above `root` that need an fsync, as `root` does; `removed`: how many files were
   */
  async prepare(): Promise<{ readonly above: readonly string[]; readonly removed: number }> {
    const firstMade = await mkdir(join(this.root, "tmp"), { recursive: true, mode: 0o700 });
    const there = new Set(await readdir(this.root));
    for (let i = 0; i < SHARDS; i += 1) {
      const name = i.toString(16).padStart(2, "0");
      if (there.has(name)) continue;
      // recursive: another node that starts now may make it first.
      await mkdir(join(this.root, name), { recursive: true, mode: 0o700 });
    }
    return { above: foldersAbove(this.root, firstMade), removed: await this.removeLeftovers() };
  }

  /** Every file that has the name of a blob. One folder's names are in memory at a time. */
  async *list(): AsyncGenerator<StoredBlob> {
    for (let i = 0; i < SHARDS; i += 1) {
      const shard = i.toString(16).padStart(2, "0");
      for (const rest of await readdir(join(this.root, shard))) {
        const digest = shard + rest;
        if (!DIGEST.test(digest)) continue;
        try {
          const { mtime, size } = await stat(join(this.root, shard, rest));
          yield { digest: blobDigest(digest), modifiedAt: mtime, storedBytes: size };
        } catch (error) {
          if (!isMissing(error)) throw error;
        }
      }
    }
  }

  /** Remove temporary files that nobody will finish. @returns how many */
  async removeLeftovers(): Promise<number> {
    let removed = 0;
    for (const name of await readdir(join(this.root, "tmp"))) {
      const path = join(this.root, "tmp", name);
      try {
        if (!this.#isLeftover(name, (await stat(path)).mtimeMs)) continue;
      } catch (error) {
        if (isMissing(error)) continue;
        throw error;
      }
      await removeFile(path);
      removed += 1;
    }
    return removed;
  }

  #isLeftover(name: string, modifiedMs: number): boolean {
    const ageMs = Date.now() - modifiedMs;
    const [host, pidText, token] = name.split(".");
    if (token === this.#token) return false;
    if (ageMs > ABANDONED_MS) return true;
    const pid = Number(pidText);
    if (ageMs <= LEFTOVER_MS || host !== this.#host || !Number.isInteger(pid) || pid <= 0) return false;
    return pid === process.pid || !isAlive(pid);
  }
}

/** The parent of `root`, and the parent of each folder that was made on the way to it. */
function foldersAbove(root: string, firstMade: string | undefined): readonly string[] {
  const above: string[] = [];
  for (let path = root; ; path = dirname(path)) {
    above.push(dirname(path));
    if (firstMade === undefined || path.length <= firstMade.length) return above;
  }
}
