/**
 * Where blobs lie below `blobs.path` (step 7): `ab/cdef…` by digest, `tmp/` for what is not finished. Files 0600, folders 0700.
 *
 * All 256 folders are made at start, so that storing never makes one. What a killed process left in `tmp/` is removed at start; the
 * folder may be shared by nodes, so files of another host, or of a process that still runs, stay until they are a day old.
 */
import { mkdir, readdir, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { MairustError } from "../core/errors.ts";
import type { BlobDigest } from "../core/ids.ts";
import { isMissing, removeFile } from "./blobs-fs-io.ts";
import { isAlive } from "./embedded-process.ts";

const DIGEST = /^[0-9a-f]{64}$/;
const SHARDS = 256;
const ABANDONED_MS = 24 * 3600 * 1000;

export class BlobLayout {
  readonly root: string;
  readonly #host: string;
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
    const dir = join(this.root, digest.slice(0, 2));
    return { dir, path: `${dir}/${digest.slice(2)}` };
  }

  /** A temporary name that no other process and no other call has. */
  temporary(): string {
    this.#counter += 1;
    return `${this.root}/tmp/${this.#host}.${process.pid}.${this.#counter}`;
  }

  /**
   * Make what is missing and remove what was left over.
   * @returns folders made (they need an fsync of `root`), files removed
   */
  async prepare(): Promise<{ readonly made: number; readonly removed: number }> {
    await mkdir(join(this.root, "tmp"), { recursive: true, mode: 0o700 });
    const there = new Set(await readdir(this.root));
    let made = 0;
    for (let i = 0; i < SHARDS; i += 1) {
      const name = i.toString(16).padStart(2, "0");
      if (there.has(name)) continue;
      // recursive: another node that starts now may make it first.
      await mkdir(join(this.root, name), { recursive: true, mode: 0o700 });
      made += 1;
    }
    return { made, removed: await this.#removeLeftovers() };
  }

  async #removeLeftovers(): Promise<number> {
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
    const now = Date.now();
    if (now - modifiedMs > ABANDONED_MS) return true;
    const [host, pidText] = name.split(".");
    const pid = Number(pidText);
    if (host !== this.#host || !Number.isInteger(pid) || pid <= 0) return false;
    return pid === process.pid ? modifiedMs < now - process.uptime() * 1000 : !isAlive(pid);
  }
}
