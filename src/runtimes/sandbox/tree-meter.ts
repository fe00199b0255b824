/**
 * What a tree of processes uses, where the kernel keeps no account of it: read from `/proc`, process by process. Who leaves the tree
 * between two looks takes its share along, so what is measured here is not more than best effort for several processes.
 * Source: proc(5).
 */
import { readdirSync, readFileSync } from "node:fs";
import type { Meter } from "./meter.ts";

/** USER_HZ, which is 100 wherever Linux runs Node. */
const TICK_MS = 10;
/** A tree is bounded by its limit of processes; this holds where that is not kept. */
const MAX_PROCESSES = 512;
const KIB = 1024;

export class TreeMeter implements Meter {
  readonly #root: number;
  /** As of the last whole look. */
  #known: readonly number[] = [];

  constructor(root: number) {
    this.#root = root;
  }

  cpuMs(rough = false): number | undefined {
    if (!rough || this.#known.length === 0) this.#known = this.#tree();
    return this.#known.reduce((sum, pid) => sum + cpuOf(pid), 0);
  }

  memoryBytes(): number | undefined {
    return this.#sum(pid => {
      const status = read(`/proc/${pid}/status`);
      return status === undefined ? 0 : kib(status, "RssAnon:") + kib(status, "RssShmem:");
    });
  }

  /** Pages that several share are divided among them. */
  exactMemoryBytes(): number | undefined {
    return this.#sum(pid => {
      const smaps = read(`/proc/${pid}/smaps_rollup`);
      return smaps === undefined ? 0 : kib(smaps, "Pss_Anon:") + kib(smaps, "Pss_Shmem:");
    });
  }

  /** All that can be found from its root. */
  #tree(): readonly number[] {
    const found = [this.#root];
    for (let i = 0; i < found.length && found.length < MAX_PROCESSES; i++)
      found.push(...childrenOf(found[i] ?? 0));
    return found;
  }

  #sum(bytesOf: (pid: number) => number): number | undefined {
    return this.#tree().reduce((sum, pid) => sum + bytesOf(pid), 0);
  }

  /** End all that can be found; the root last, which would orphan the rest. */
  kill(): void {
    for (const pid of this.#tree().toReversed()) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Gone meanwhile.
      }
    }
  }
}

/** Of each thread: who it started is its own child. */
function childrenOf(pid: number): readonly number[] {
  let threads: readonly string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    // It ended.
    return [];
  }
  return threads.flatMap(thread =>
    (read(`/proc/${pid}/task/${thread}/children`) ?? "").split(" ").filter(Boolean).map(Number),
  );
}

/** User and system time of it and of the children that it has waited for; of one that ended its parent tells. */
function cpuOf(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return 0;
  // The name before it may hold blanks and brackets.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks * TICK_MS;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // It ended.
    return undefined;
  }
}

function kib(text: string, key: string): number {
  const at = text.indexOf(key);
  return at === -1 ? 0 : Number.parseInt(text.slice(at + key.length), 10) * KIB;
}
