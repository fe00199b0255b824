/** A small file system of its own (tmpfs) that a test can fill and empty. Needs root and the right to mount. */
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, truncateSync, writeSync } from "node:fs";
import { join } from "node:path";

const CHUNKS_BYTES = [1024 * 1024, 4096];
const BALLAST = "ballast";

export class SmallDisk {
  readonly path: string;
  readonly #ballast: string;

  private constructor(path: string) {
    this.path = path;
    this.#ballast = join(path, BALLAST);
  }

  /** @throws what `mount` says */
  static mount(path: string, megabytes: number): SmallDisk {
    mkdirSync(path, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=0755`, "tmpfs", path], {
      stdio: "pipe",
    });
    return new SmallDisk(path);
  }

  /** Until nothing fits any more, but for `leaveBytes`. */
  fill(leaveBytes = 0): void {
    const fd = openSync(this.#ballast, "a");
    let bytes = 0;
    try {
      for (const size of CHUNKS_BYTES) bytes += fillBy(fd, Buffer.alloc(size));
    } finally {
      closeSync(fd);
    }
    if (leaveBytes > 0) truncateSync(this.#ballast, Math.max(0, bytes - leaveBytes));
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  unmount(): void {
    // Lazily: what still has a file open ends later.
    execFileSync("umount", ["-l", this.path], { stdio: "pipe" });
  }
}

function fillBy(fd: number, chunk: Buffer): number {
  for (let bytes = 0; ; ) {
    try {
      const written = writeSync(fd, chunk);
      bytes += written;
      if (written < chunk.length) return bytes;
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOSPC") return bytes;
      throw error;
    }
  }
}

/** @returns why there can be no {@link SmallDisk} here; undefined: there can */
export function noSmallDisk(dir: string): string | undefined {
  try {
    SmallDisk.mount(join(dir, "try"), 1).unmount();
    return undefined;
  } catch (error) {
    return `no file system can be mounted here: ${String(error).split("\n")[0]}`;
  }
}
