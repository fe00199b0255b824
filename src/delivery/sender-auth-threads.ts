/**
 * The threads that check senders (message path, step 2): few, started when they are first needed, each with one message at a time.
 *
 * States of a thread: idle ──message──► busy ──findings──► idle; busy ──deadline, crash──► gone, and the next message gets a new one.
 * A message waits for a thread as long as its own deadline lets it. The bytes go over in pieces, a few ahead of what the thread has
 * read, so that a large message is nowhere as a whole. What the thread costs is bounded: by the deadline, by its own heap, and by what
 * `sender-auth-body.ts` lets through.
 *
 * Failures: `deadline`, `too_many` (who waits), `internal` (the thread ended).
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Deadline } from "../core/deadline.ts";
import { MairustError, messageOf, toMairustError } from "../core/errors.ts";
import { deadlineAfter, within } from "../platform/deadline.ts";
import { type CachedDns, MAX_LOOKUPS, type RecordType } from "./sender-auth-dns.ts";
import type { CheckedSubject, Findings } from "./sender-auth-findings.ts";
import type { FromThread, ToThread } from "./sender-auth-thread.ts";

/** Each has one message at a time, and waits while DNS answers; one that was never needed costs nothing. */
const THREADS = 4;
/** Messages that wait for a thread. */
const MAX_WAITING = 500;
/** Pieces that the thread has not read yet. */
const PIECES_AHEAD = 8;
const HEAP_MB = 128;
/** Of the time of a message: what is left then is for what the thread does with the answers. */
const DNS_SHARE = 0.8;

/** The same file in the source and in the build. */
const ENTRY = new URL(`./sender-auth-thread${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
const RECORD_TYPES: ReadonlySet<string> = new Set<RecordType>(["TXT", "A", "AAAA", "MX", "PTR"]);

interface Place {
  worker: Worker | undefined;
}

export class CheckThreads {
  readonly #dns: CachedDns;
  readonly #idle: Place[];
  readonly #waiting: ((place: Place) => void)[] = [];
  #isStopped = false;

  constructor(dns: CachedDns, threads = THREADS) {
    this.#dns = dns;
    this.#idle = Array.from({ length: threads }, () => ({ worker: undefined }));
  }

  /** @throws {MairustError} see above; `blob_missing`, `blob_damaged` of the content */
  async check(
    subject: CheckedSubject,
    content: AsyncIterable<Uint8Array> | undefined,
    deadline: Deadline,
  ): Promise<Findings> {
    const place = await this.#take(deadline);
    try {
      const worker = place.worker ?? this.#start(place);
      worker.ref();
      const run = new CheckRun(worker, this.#dns, deadline);
      try {
        return await run.check(subject, content);
      } catch (error) {
        // Whatever it was: what the thread is in the middle of must not reach the next message.
        place.worker = undefined;
        await worker.terminate();
        throw error;
      }
    } finally {
      place.worker?.unref();
      this.#giveBack(place);
    }
  }

  /** What is under way fails. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#idle.map(place => place.worker?.terminate()));
  }

  #start(place: Place): Worker {
    const worker = new Worker(ENTRY, {
      // The library writes to the console.
      stdout: true,
      stderr: true,
      env: {},
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    });
    worker.stdout.resume();
    worker.stderr.resume();
    // Whoever waits for it hears of it too.
    worker.on("error", () => undefined);
    worker.once("exit", () => {
      if (place.worker === worker) place.worker = undefined;
    });
    place.worker = worker;
    return worker;
  }

  async #take(deadline: Deadline): Promise<Place> {
    if (this.#isStopped) throw new MairustError("draining", "Cannot check sender: the service stops");
    const place = this.#idle.pop();
    if (place !== undefined) return place;
    if (this.#waiting.length >= MAX_WAITING)
      throw new MairustError("too_many", `Cannot check sender: ${MAX_WAITING} messages wait`);
    return new Promise<Place>((resolve, reject) => {
      const { signal } = deadline;
      const take = (free: Place) => {
        signal.removeEventListener("abort", giveUp);
        resolve(free);
      };
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        reject(toMairustError(signal.reason, "wait for a thread"));
      };
      this.#waiting.push(take);
      signal.addEventListener("abort", giveUp, { once: true });
      if (signal.aborted) giveUp();
    });
  }

  #giveBack(place: Place): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(place);
    else next(place);
    if (this.#isStopped) void place.worker?.terminate();
  }
}

/** One message on one thread. */
class CheckRun {
  readonly #worker: Worker;
  readonly #dns: CachedDns;
  readonly #deadline: Deadline;
  readonly #dnsUntilMs: number;
  #room = PIECES_AHEAD;
  #lookups = 0;
  #isDone = false;
  #wake: () => void = () => undefined;

  constructor(worker: Worker, dns: CachedDns, deadline: Deadline) {
    this.#worker = worker;
    this.#dns = dns;
    this.#deadline = deadline;
    this.#dnsUntilMs = deadline.remainingMs() * (1 - DNS_SHARE);
  }

  async check(subject: CheckedSubject, content: AsyncIterable<Uint8Array> | undefined): Promise<Findings> {
    const worker = this.#worker;
    const heard: { stop: () => void } = { stop: () => undefined };
    const findings = new Promise<Findings>((resolve, reject) => {
      const onMessage = (message: FromThread) => {
        if (message.kind !== "done") return this.#receive(message);
        // It may not want all of the message.
        this.#end();
        resolve(message.findings);
      };
      const onError = (error: unknown) =>
        reject(new MairustError("internal", `Cannot check sender: the thread broke: ${messageOf(error)}`));
      const onExit = () => reject(new MairustError("internal", "Cannot check sender: the thread ended"));
      worker.on("message", onMessage).on("error", onError).on("exit", onExit);
      heard.stop = () => worker.off("message", onMessage).off("error", onError).off("exit", onExit);
    });
    try {
      this.#post({ kind: "check", subject });
      const sent = this.#send(content);
      const all = Promise.all([findings, sent]);
      const [found] = await within(all, this.#deadline);
      return found;
    } finally {
      this.#end();
      heard.stop();
    }
  }

  #end(): void {
    this.#isDone = true;
    this.#wake();
  }

  async #send(content: AsyncIterable<Uint8Array> | undefined): Promise<void> {
    for await (const chunk of content ?? []) {
      while (this.#room === 0 && !this.#isDone)
        await new Promise<void>(wake => {
          this.#wake = wake;
        });
      if (this.#isDone) return;
      this.#room--;
      // A copy: a view would take all of its memory along, and the memory is not ours to hand over.
      const bytes = new Uint8Array(chunk);
      this.#worker.postMessage({ kind: "bytes", bytes } satisfies ToThread, [bytes.buffer]);
    }
    if (!this.#isDone) this.#post({ kind: "end" });
  }

  #receive(message: Exclude<FromThread, { kind: "done" }>): void {
    if (message.kind === "ask") void this.#answer(message);
    else {
      this.#room++;
      this.#wake();
    }
  }

  /** A question that comes too late, or once too often, has no answer. */
  async #answer({ ask, name, type }: Extract<FromThread, { kind: "ask" }>): Promise<void> {
    this.#lookups++;
    const isIn = this.#lookups <= MAX_LOOKUPS && RECORD_TYPES.has(type);
    const answer = isIn ? await this.#find(name, type as RecordType) : undefined;
    if (this.#isDone) return;
    if (answer?.kind === "rows") this.#post({ kind: "rows", ask, rows: answer.rows });
    else this.#post({ kind: "no_rows", ask, code: answer?.kind === "none" ? answer.code : "ETIMEOUT" });
  }

  async #find(name: string, type: RecordType) {
    const leftMs = this.#deadline.remainingMs() - this.#dnsUntilMs;
    if (leftMs <= 0) return undefined;
    const deadline = deadlineAfter(leftMs, this.#deadline);
    try {
      return await within(this.#dns.find(name, type), deadline);
    } catch {
      return undefined;
    } finally {
      deadline.dispose();
    }
  }

  #post(message: ToThread): void {
    this.#worker.postMessage(message);
  }
}
