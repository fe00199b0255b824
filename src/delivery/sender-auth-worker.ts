/**
 * One thread that checks senders (message path, step 2), and the messages on it.
 *
 * States: starting ──ready──► serving ──no step for too long, a message not let go, crash──► lost ──exit──► gone. Of a thread that is
 * lost the memory tells which message it was at (`sender-auth-port.ts`): that one has failed. The others were only near it, and may be
 * tried on another thread ({@link ThreadLost}). A lost thread takes nothing more and counts until it is gone, so that threads which
 * cannot be ended do not become many.
 *
 * Whether it moves is told by looks, not by a clock: when the whole process stands still, nothing looks either.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Deadline } from "../core/deadline.ts";
import { type ErrorCode, MairustError, messageOf } from "../core/errors.ts";
import { MAX_HEADER_BYTES } from "./sender-auth-body.ts";
import type { CachedDns } from "./sender-auth-dns.ts";
import type { CheckLimits } from "./sender-auth-limits.ts";
import { type FromThread, NO_ID, SHARED_BYTES, STEP_ID, STEPS, type ThreadData } from "./sender-auth-port.ts";
import { type CheckedMessage, CheckRun } from "./sender-auth-run.ts";
import { Turns } from "./sender-auth-turns.ts";

/** The same file in the source and in the build. */
const ENTRY = new URL(`./sender-auth-thread${extname(fileURLToPath(import.meta.url))}`, import.meta.url);

/** A message's thread is lost by another message's doing, as far as can be told. */
export class ThreadLost extends MairustError {}

export interface WorkerParts {
  readonly dns: CachedDns;
  readonly limits: CheckLimits;
  /** Another entry than ours, which breaks as a test wants it. */
  readonly entry?: URL;
  /** It has room again. */
  readonly onFree: () => void;
  /** Once, before its messages hear of it. */
  readonly onLost: (why: string, messages: number) => void;
  readonly onGone: (worker: CheckWorker) => void;
}

export class CheckWorker {
  readonly #parts: WorkerParts;
  readonly #worker: Worker;
  readonly #shared = new Int32Array(new SharedArrayBuffer(SHARED_BYTES));
  readonly #runs = new Map<number, { readonly run: CheckRun; readonly headerBytes: number; looks: number }>();
  readonly #turns: Turns;
  readonly #largeTurns: Turns;
  #headerBytes = 0;
  #lastId = NO_ID;
  #isReady = false;
  #isLost = false;
  #steps = 0;
  #stillLooks = 0;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#turns = new Turns(parts.limits.readsPerThread);
    this.#largeTurns = new Turns(parts.limits.largeReadsPerThread);
    this.#worker = new Worker(parts.entry ?? ENTRY, {
      // The library writes to the console.
      stdout: true,
      stderr: true,
      env: {},
      resourceLimits: {
        maxOldGenerationSizeMb: parts.limits.heapMb,
        maxYoungGenerationSizeMb: parts.limits.youngMb,
      },
      workerData: { shared: this.#shared.buffer } satisfies ThreadData,
    });
    this.#worker.stdout.resume();
    this.#worker.stderr.resume();
    this.#worker.on("message", (message: FromThread) => this.#receive(message));
    this.#worker.on("error", error => this.#lose("internal", `the thread broke: ${messageOf(error)}`));
    this.#worker.once("exit", () => {
      this.#lose("internal", "the thread ended");
      parts.onGone(this);
    });
  }

  /** Messages on it. */
  get load(): number {
    return this.#runs.size;
  }

  get bytesAhead(): number {
    return [...this.#runs.values()].reduce((sum, { run }) => sum + run.bytesAhead, 0);
  }

  hasRoom(sizeBytes: number): boolean {
    if (this.#isLost) return false;
    const { messagesPerThread, headerBytesPerThread } = this.#parts.limits;
    const isLight = this.#headerBytes + headerBytesOf(sizeBytes) <= headerBytesPerThread;
    return this.load < messagesPerThread && (isLight || this.load === 0);
  }

  /** Whether there is room is asked before. */
  open(message: CheckedMessage, deadline: Deadline): CheckRun {
    const { dns, limits } = this.#parts;
    if (this.load === 0) {
      this.#worker.ref();
      this.#stillLooks = 0;
    }
    this.#lastId = (this.#lastId % 0x7fffffff) + 1;
    const run = new CheckRun({
      ...{ id: this.#lastId, message, deadline, limits, dns },
      turns: message.sizeBytes >= limits.largeBytes ? this.#largeTurns : this.#turns,
      post: (one, transfer = []) => this.#worker.postMessage(one, [...transfer]),
    });
    const headerBytes = headerBytesOf(message.sizeBytes);
    this.#headerBytes += headerBytes;
    this.#runs.set(run.id, { run, headerBytes, looks: 0 });
    return run;
  }

  /** Whether it moves. Called every `lookMs` while it has messages. */
  look(): void {
    if (this.load === 0 || this.#isLost) return;
    const { stuckLooks, startLooks } = this.#parts.limits;
    const patience = this.#isReady ? stuckLooks : startLooks;
    const steps = Atomics.load(this.#shared, STEPS);
    if (steps !== this.#steps) {
      this.#steps = steps;
      this.#stillLooks = 0;
      this.#worker.postMessage({ kind: "look" });
    } else this.#stillLooks++;
    if (this.#stillLooks > patience) this.#lose("deadline", "the thread does not go on");
    for (const [id, entry] of this.#runs) {
      if (entry.run.isOver) entry.looks++;
      if (entry.looks > patience) this.#lose("deadline", "the thread does not let go of a message", id);
    }
  }

  /** What is on it fails. */
  async stop(): Promise<void> {
    this.#lose("draining", "the service stops");
    await this.#worker.terminate();
  }

  #receive(message: FromThread): void {
    if (message.kind === "ready") {
      this.#isReady = true;
      // What it was waited for while it started says nothing of how it goes on.
      this.#stillLooks = 0;
      for (const entry of this.#runs.values()) entry.looks = 0;
      return;
    }
    const entry = this.#runs.get(message.id);
    const isLast = message.kind === "done" || message.kind === "broke";
    if (isLast && entry !== undefined) {
      this.#runs.delete(message.id);
      this.#headerBytes -= entry.headerBytes;
      if (this.load === 0) this.#worker.unref();
    }
    entry?.run.receive(message);
    if (isLast) this.#parts.onFree();
  }

  #lose(code: ErrorCode, why: string, culprit = Atomics.load(this.#shared, STEP_ID)): void {
    if (this.#isLost) return;
    this.#isLost = true;
    const runs = [...this.#runs.values()];
    this.#runs.clear();
    this.#worker.unref();
    void this.#worker.terminate();
    if (runs.length > 0 && code !== "draining") this.#parts.onLost(why, runs.length);
    const text = `Cannot check sender: ${why}`;
    for (const { run } of runs)
      run.lost(run.id === culprit ? new MairustError(code, text) : new ThreadLost("internal", text));
  }
}

/** What may stay of a message while DNS is waited for. */
function headerBytesOf(sizeBytes: number): number {
  return Math.min(sizeBytes, MAX_HEADER_BYTES);
}
