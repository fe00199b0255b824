/**
 * Directory fsyncs, shared (step 7): a rename is durable once its directory was fsynced by a call that began after it.
 *
 * While one fsync of a directory runs, all that come meanwhile share the next one: at most two calls are pending per directory, and
 * nobody waits for a timer.
 *
 * States of a directory: sound → failed, until the process ends. After a failed fsync the system may forget what it could not write and
 * report success the next time: what was renamed meanwhile would be called durable and is not (PostgreSQL met the same in 2018).
 * Failures: what the first fsync said, then `store_unavailable` for everything that goes into that directory.
 */
import { MairustError, messageOf } from "../core/errors.ts";
import { closeFile, openFile, READ_ONLY, syncFile } from "./blobs-fs-io.ts";

interface DirState {
  readonly fd: number;
  running: Promise<void> | undefined;
  next: Promise<void> | undefined;
  failure: unknown;
}

export class DirectorySync {
  readonly #dirs = new Map<string, Promise<DirState>>();
  readonly #fsync: (fd: number) => Promise<void>;

  /** @param fsync  how one descriptor is synced; the tests count the calls */
  constructor(fsync: (fd: number) => Promise<void> = syncFile) {
    this.#fsync = fsync;
  }

  /** Resolves when everything that was renamed into `path` before the call is durable. */
  async sync(path: string): Promise<void> {
    const dir = await this.#open(path);
    if (dir.running === undefined) return this.#run(dir);
    dir.next ??= dir.running.then(
      () => this.#run(dir),
      () => this.#run(dir),
    );
    return dir.next;
  }

  async close(): Promise<void> {
    const dirs = [...this.#dirs.values()];
    this.#dirs.clear();
    for (const opening of dirs) {
      const dir = await opening.catch(() => undefined);
      if (dir === undefined) continue;
      await Promise.allSettled([dir.running, dir.next]);
      await closeFile(dir.fd);
    }
  }

  /** Directories stay open: there are 256 of them. */
  #open(path: string): Promise<DirState> {
    let opening = this.#dirs.get(path);
    if (opening === undefined) {
      opening = openFile(path, READ_ONLY).then(fd => ({
        fd,
        running: undefined,
        next: undefined,
        failure: undefined,
      }));
      this.#dirs.set(path, opening);
      // Not to be remembered: the directory may come back.
      opening.catch(() => this.#dirs.delete(path));
    }
    return opening;
  }

  #run(dir: DirState): Promise<void> {
    dir.next = undefined;
    if (dir.failure !== undefined) return Promise.reject(notSound(dir.failure));
    const running = this.#fsync(dir.fd)
      .catch((error: unknown) => {
        dir.failure = error;
        throw error;
      })
      .finally(() => {
        if (dir.running === running) dir.running = undefined;
      });
    dir.running = running;
    return running;
  }
}

function notSound(failure: unknown): MairustError {
  return new MairustError(
    "store_unavailable",
    `Cannot make a blob durable: an earlier fsync of its folder failed: ${messageOf(failure)}; restart the service`,
    { cause: failure, publicText: "mail storage is not available" },
  );
}
