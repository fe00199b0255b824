/**
 * The thread in which a target runs: a crash, a hang and a full heap of the code under test end here and not in the
 * runner. Sends findings and a summary to its parent; the parent watches the clock (`fuzz.ts`).
 */
import { setImmediate as turn } from "node:timers/promises";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { parentPort, workerData } from "node:worker_threads";
import { Coverage } from "./coverage.ts";
import { Engine } from "./engine.ts";
import { minimise } from "./minimise.ts";
import { SharedInput } from "./shared-input.ts";
import type { FuzzTarget } from "./target.ts";

export interface WorkerJob {
  /** URL of the target's module. */
  readonly module: string;
  readonly inputs: number;
  readonly seconds: number;
  readonly seed: number;
  readonly coverage: boolean;
  readonly memory: SharedArrayBuffer;
  /** Run these and nothing else. */
  readonly replay?: readonly Uint8Array[];
  /** An input must be done after so long. */
  readonly slowMs: number;
  /** What the JavaScript heap may hold. */
  readonly heapBytes: number;
}

export type WorkerReport =
  | { readonly kind: "finding"; readonly what: string; readonly input: Uint8Array }
  | { readonly kind: "progress" | "done"; readonly stats: WorkerStats };

export interface WorkerStats {
  readonly inputs: number;
  readonly covered: number;
  readonly corpus: number;
  readonly heapBytes: number;
  readonly slowestMs: number;
}

/** Different findings after which a target is left. */
const FINDINGS_MAX = 5;
/** An input that is too slow must be so each time: a busy machine stops any thread for a while. */
const SLOW_CONFIRMATIONS = 2;
const TOO_SLOW = "slow";
const TOO_LARGE = "memory";
/** Inputs between two looks at the heap: what a finding names is the last of them, not always the one that took the memory. */
const HEAP_EVERY = 8;
const MEBI = 1_048_576;

class FuzzWorker {
  readonly #job: WorkerJob;
  readonly #target: FuzzTarget;
  readonly #shared: SharedInput;
  readonly #engine: Engine;
  readonly #known = new Set<string>();
  readonly #endsAt: number;
  #failedOutside: unknown;
  #inputs = 0;
  #sinceHeap = 0;
  #heapBytes = 0;
  #slowestMs = 0;

  constructor(job: WorkerJob, target: FuzzTarget) {
    this.#job = job;
    this.#endsAt = performance.now() + job.seconds * 1000;
    this.#target = target;
    this.#shared = new SharedInput(job.memory);
    this.#engine = new Engine(target, job.seed, job.coverage ? new Coverage() : undefined, () =>
      this.#over(),
    );
    for (const event of ["uncaughtException", "unhandledRejection"] as const) {
      process.on(event, (error: unknown) => {
        this.#failedOutside ??= error ?? new Error("rejected with nothing");
      });
    }
  }

  async work(): Promise<void> {
    const { replay, inputs } = this.#job;
    const runOne = (input: Uint8Array) => this.#runOne(input);
    for (const input of replay ?? []) await this.#runOne(input);
    this.#inputs = replay?.length ?? 0;
    while (replay === undefined && this.#inputs < inputs && !this.#over()) {
      this.#inputs += await this.#engine.runBatch(inputs - this.#inputs, runOne);
      await turn();
      await this.#outside();
      this.#heapBytes = Math.max(this.#heapBytes, getHeapStatistics().used_heap_size);
      this.#report({ kind: "progress", stats: this.#stats() });
    }
    await turn();
    await this.#outside();
    this.#report({ kind: "done", stats: this.#stats() });
  }

  /** Where one input is too slow many are: they would take all the time there is. What holds memory goes on to do so. */
  #over(): boolean {
    const isLeft = this.#known.has(TOO_SLOW) || this.#known.has(TOO_LARGE);
    return isLeft || performance.now() >= this.#endsAt || this.#known.size >= FINDINGS_MAX;
  }

  #stats(): WorkerStats {
    return {
      inputs: this.#inputs,
      covered: this.#engine.covered,
      corpus: this.#engine.corpusSize,
      heapBytes: this.#heapBytes,
      slowestMs: Math.round(this.#slowestMs),
    };
  }

  #report(report: WorkerReport): void {
    parentPort?.postMessage(report);
  }

  /** Synchronous targets stay synchronous: a promise per input would cost more than most of them. */
  #runOne(input: Uint8Array): Promise<void> | undefined {
    const startedAt = performance.now();
    this.#shared.begin(input);
    let running: void | Promise<void>;
    try {
      running = this.#target.run(input);
    } catch (error) {
      this.#shared.end();
      return this.#failed(input, error);
    }
    if (running === undefined) return this.#finished(input, startedAt);
    return running.then(
      () => this.#finished(input, startedAt),
      (error: unknown) => {
        this.#shared.end();
        return this.#failed(input, error);
      },
    );
  }

  #finished(input: Uint8Array, startedAt: number): Promise<void> | undefined {
    this.#shared.end();
    const tookMs = performance.now() - startedAt;
    if (tookMs > this.#slowestMs) this.#slowestMs = tookMs;
    this.#lookAtHeap(input);
    if (this.#failedOutside !== undefined) return this.#outside(input);
    return tookMs > this.#job.slowMs ? this.#slow(input, tookMs) : undefined;
  }

  /** The system's own limit of a thread is no help: a thread that is full ends the whole process on some versions of Node. */
  #lookAtHeap(input: Uint8Array): void {
    this.#sinceHeap = (this.#sinceHeap + 1) % HEAP_EVERY;
    if (this.#sinceHeap !== 0 || getHeapStatistics().used_heap_size <= this.#job.heapBytes) return;
    collectGarbage();
    const held = getHeapStatistics().used_heap_size;
    if (held > this.#job.heapBytes)
      this.#finding(`${Math.round(held / MEBI)} MiB are held: over the memory limit`, TOO_LARGE, input);
  }

  /** Nobody waited for what failed: the input is the one that ran, or one shortly before it. */
  async #outside(input: Uint8Array = this.#shared.input): Promise<void> {
    const error = this.#failedOutside;
    if (error === undefined) return;
    this.#failedOutside = undefined;
    await this.#failed(input, error);
  }

  async #slow(input: Uint8Array, tookMs: number): Promise<void> {
    for (let left = SLOW_CONFIRMATIONS; left > 0; left--) {
      const startedAt = performance.now();
      await this.#target.run(input);
      if (performance.now() - startedAt <= this.#job.slowMs) return;
    }
    this.#finding(`took ${Math.round(tookMs)} ms`, TOO_SLOW, input);
  }

  async #failed(input: Uint8Array, error: unknown): Promise<void> {
    const kind = signature(error);
    if (this.#known.has(kind)) return;
    const small = await minimise(input, async candidate => {
      this.#shared.begin(candidate);
      try {
        await this.#target.run(candidate);
        return false;
      } catch (again) {
        return signature(again) === kind;
      } finally {
        this.#shared.end();
      }
    });
    this.#finding(textOf(error), kind, small);
  }

  #finding(what: string, kind: string, input: Uint8Array): void {
    if (this.#known.has(kind)) return;
    this.#known.add(kind);
    this.#report({ kind: "finding", what, input: Uint8Array.from(input) });
  }
}

/** What makes two failures the same one: kind, message without numbers and quoted parts, the place it was thrown at. */
function signature(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const place = /\n\s+at ([^\n]+)/u.exec(error.stack ?? "")?.[1] ?? "";
  const message = error.message.split("\n", 1)[0] ?? "";
  return `${error.name} ${message.replace(/"[^"]*"|\d+/gu, "#")} ${place}`;
}

/** Characters of a failure that are printed. */
const TEXT_MAX = 3000;

function textOf(error: unknown): string {
  return (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(0, TEXT_MAX);
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
const job = workerData as WorkerJob;
const target = (await import(job.module)) as FuzzTarget;
await new FuzzWorker(job, target).work();
