/**
 * Runs one fuzz target in a thread of its own and watches it: an input over its time, a heap over its bound, a thread
 * that dies. Findings are written to files, smallest input first.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { SharedInput } from "./shared-input.ts";
import { type FuzzTarget, INPUT_BYTES_MAX } from "./target.ts";
import type { WorkerJob, WorkerReport, WorkerStats } from "./worker.ts";

export interface FuzzOptions {
  /** URL of the target's module. */
  readonly module: string;
  readonly inputs: number;
  /** At most so long. */
  readonly seconds: number;
  readonly seed: number;
  /** Folder for failing inputs. */
  readonly findings: string;
  readonly coverage?: boolean;
  readonly replay?: readonly Uint8Array[];
  /** An input over it is a finding when it is so three times. */
  readonly slowMs?: number;
  /** An input over it is a hang: the thread is ended. */
  readonly hangMs?: number;
  /** Bound of what the thread's JavaScript heap may hold. */
  readonly heapMb?: number;
  /** Bound of what the process may grow by: buffers are not in the heap. */
  readonly growthMb?: number;
  readonly onProgress?: (stats: WorkerStats) => void;
}

export interface Finding {
  readonly what: string;
  readonly input: Uint8Array;
  /** Where the input was written. */
  readonly file: string;
}

export interface FuzzResult {
  readonly findings: readonly Finding[];
  readonly stats: WorkerStats;
  readonly seconds: number;
  /** How much the process grew at most. */
  readonly growthBytes: number;
}

const SLOW_MS = 1000;
/** Far above {@link SLOW_MS}: what is under it is measured again by the thread itself, what is above it is cut unasked. */
const HANG_MS = 5000;
const HEAP_MB = 512;
/** One input may take this much at once, garbage and all, before the thread itself looks: beyond, the system ends it. */
const HEAP_PEAK_MB = 1024;
const GROWTH_MB = 1024;
const WATCH_MS = 50;
const MEBI = 1_048_576;

const NO_STATS: WorkerStats = { inputs: 0, covered: 0, corpus: 0, heapBytes: 0, slowestMs: 0 };

/** Fuzz one target. Rejects only when the target cannot be loaded. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const target = (await import(options.module)) as FuzzTarget;
  const largest = Math.max(0, ...[...target.seeds, ...(options.replay ?? [])].map(input => input.length));
  const shared = SharedInput.forInputs(Math.max(target.maxBytes ?? INPUT_BYTES_MAX, largest));
  const job: WorkerJob = {
    module: options.module,
    inputs: options.inputs,
    seconds: options.seconds,
    seed: options.seed,
    coverage: options.coverage ?? true,
    memory: shared.memory,
    slowMs: options.slowMs ?? SLOW_MS,
    heapBytes: (options.heapMb ?? HEAP_MB) * MEBI,
    ...(options.replay === undefined ? {} : { replay: options.replay }),
  };
  return new Watch(target.name, options, shared).over(job);
}

class Watch {
  readonly #name: string;
  readonly #options: FuzzOptions;
  readonly #shared: SharedInput;
  readonly #findings: Finding[] = [];
  readonly #rssAtStart = process.memoryUsage.rss();
  #rss = 0;
  #stats = NO_STATS;
  #turn = 0;
  #turnSince = performance.now();

  constructor(name: string, options: FuzzOptions, shared: SharedInput) {
    this.#name = name;
    this.#options = options;
    this.#shared = shared;
  }

  async over(job: WorkerJob): Promise<FuzzResult> {
    const startedAt = performance.now();
    const worker = new Worker(new URL(import.meta.resolve("./worker.js"), import.meta.url), {
      workerData: job,
      resourceLimits: { maxOldGenerationSizeMb: (this.#options.heapMb ?? HEAP_MB) + HEAP_PEAK_MB },
    });
    const watching = setInterval(() => this.#look(worker), WATCH_MS);
    try {
      await this.#ended(worker);
    } finally {
      clearInterval(watching);
    }
    return {
      findings: this.#findings,
      stats: this.#stats,
      seconds: (performance.now() - startedAt) / 1000,
      growthBytes: Math.max(0, this.#rss - this.#rssAtStart),
    };
  }

  #ended(worker: Worker): Promise<void> {
    return new Promise(resolve => {
      let done = false;
      worker.on("message", (report: WorkerReport) => {
        if (report.kind === "finding") this.#found(report.what, report.input);
        else {
          this.#stats = report.stats;
          this.#options.onProgress?.(report.stats);
        }
        if (report.kind !== "done") return;
        done = true;
        // Servers under test keep their clocks running.
        void worker.terminate();
      });
      worker.on("error", (error: Error) => this.#found(error.stack ?? error.message, this.#shared.input));
      worker.on("exit", () => {
        if (!done && this.#findings.length === 0) this.#found("the thread ended", this.#shared.input);
        resolve();
      });
    });
  }

  #look(worker: Worker): void {
    const { hangMs = HANG_MS, growthMb = GROWTH_MB } = this.#options;
    this.#rss = Math.max(this.#rss, process.memoryUsage.rss());
    const now = performance.now();
    const { turn } = this.#shared;
    if (turn !== this.#turn) {
      this.#turn = turn;
      this.#turnSince = now;
    } else if (this.#shared.running && now - this.#turnSince > hangMs) {
      this.#stop(worker, `hangs: not done after ${hangMs} ms`);
    }
    if (this.#rss - this.#rssAtStart > growthMb * MEBI) {
      this.#stop(worker, `the process grew by more than ${growthMb} MiB`);
    }
  }

  #stop(worker: Worker, what: string): void {
    if (this.#findings.some(finding => finding.what === what)) return;
    this.#found(what, this.#shared.input);
    void worker.terminate();
  }

  #found(what: string, input: Uint8Array): void {
    const digest = createHash("sha256").update(input).digest("hex").slice(0, 12);
    const file = join(this.#options.findings, `${this.#name}-${digest}.bin`);
    mkdirSync(this.#options.findings, { recursive: true });
    writeFileSync(file, input);
    this.#findings.push({ what, input, file });
  }
}
