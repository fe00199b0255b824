/**
 * The standing job that makes the text of messages for search, after their commit: reads the blob, lets a process of its own make the text, stores
 * it. One node works at a time; new mail goes before old.
 *
 * A message that stops that process gets the text that its delivery decoded, and the reason, and is done. One that takes the whole process
 * with it is found by the checkpoint: after a crash the messages of that batch are tried alone, and marked when it happens again.
 */
import { MairustError, messageOf } from "../../core/errors.ts";
import type { MessageId } from "../../core/ids.ts";
import { messageId } from "../../core/ids.ts";
import type { BlobStore } from "../../core/ports/blobs.ts";
import type { JobData } from "../../core/ports/jobs.ts";
import type { Log } from "../../core/ports/log.ts";
import type { MadeText, SearchTextStore, TextOutcome, Untexted } from "../../core/ports/search-texts.ts";
import { fallbackSearchText } from "../../core/search-text/extract.ts";
import { planSearchText } from "../../core/search-text/plan.ts";
import { deadlineAfter, sleep } from "../../platform/deadline.ts";
import { Backlog, type BacklogLimits } from "../backlog.ts";
import { Extractor, type ExtractorLimits } from "../extractor.ts";
import { readPieces } from "../read-pieces.ts";
import type { JobHandler, JobRun } from "../worker.ts";

export const SEARCH_TEXT_JOB = "search_text";

export interface SearchTextLimits {
  /** Messages whose texts are stored in one statement. */
  readonly batch: number;
  /** Octets of texts in one statement. */
  readonly batchBytes: number;
  /** For reading one message. */
  readonly readMs: number;
  /** How long the job waits for new mail before it ends, to be due again later. */
  readonly lingerMs: number;
  /** While mail comes in, the job rests this many times as long as it worked: storing mail goes first. */
  readonly restShare: number;
  readonly maxRestMs: number;
  /** Times that a message may be at work when its process ends. */
  readonly crashes: number;
}

export const SEARCH_TEXT_LIMITS: SearchTextLimits = {
  batch: 64,
  batchBytes: 4 * 1024 * 1024,
  readMs: 20_000,
  lingerMs: 10_000,
  restShare: 9,
  maxRestMs: 20_000,
  crashes: 2,
};

export interface SearchTextOptions {
  readonly store: SearchTextStore;
  readonly blobs: BlobStore;
  readonly log: Log;
  readonly now: () => number;
  readonly onMade: (outcome: TextOutcome) => void;
  readonly limits?: Partial<SearchTextLimits & BacklogLimits & ExtractorLimits>;
  /** Of its process; only tests have another. */
  readonly extractorEntry?: URL;
}

export interface SearchTextHandler extends JobHandler {
  /** Mail was stored. @returns false when the job does not run here, so that it must be made due */
  nudge(): boolean;
}

export function createSearchTextHandler(options: SearchTextOptions): SearchTextHandler {
  return new SearchTextJob(options);
}

class SearchTextJob implements SearchTextHandler {
  readonly kind = SEARCH_TEXT_JOB;
  readonly concurrency = 1;
  readonly #options: SearchTextOptions;
  readonly #limits: SearchTextLimits;
  #backlog: Backlog;
  #running = false;
  #nudged = false;
  /** A batch stands in the checkpoint. */
  #kept = false;
  #waiting: AbortController | undefined;

  constructor(options: SearchTextOptions) {
    this.#options = options;
    this.#limits = { ...SEARCH_TEXT_LIMITS, ...options.limits };
    this.#backlog = this.#newBacklog();
  }

  nudge(): boolean {
    this.#nudged = true;
    this.#waiting?.abort();
    return this.#running;
  }

  async run(run: JobRun): Promise<void> {
    const extractor = new Extractor(this.#options.limits, this.#options.extractorEntry);
    this.#running = true;
    try {
      await this.#retrySuspects(run, extractor);
      for (;;) {
        const startedAt = performance.now();
        this.#nudged = false;
        const ids = await this.#backlog.next(this.#limits.batch, run.signal);
        if (ids.length === 0) {
          if ((await this.#linger(run.signal)) || this.#nudged) continue;
          // From here on a nudge makes the job due again in the queue.
          this.#running = false;
          return;
        }
        await run.saveCheckpoint({ batch: ids });
        this.#kept = true;
        await this.#make(ids, extractor, run.signal);
        if (this.#nudged) await this.#rest(performance.now() - startedAt, run.signal);
      }
    } catch (error) {
      // What was handed out may not be done.
      this.#backlog = this.#newBacklog();
      throw error;
    } finally {
      this.#running = false;
      await extractor.close();
      await this.#forgetBatch(run);
    }
  }

  /** A tenth of one core, as long as mail comes in and a batch takes its usual second: what waits gets its text when it is quiet. */
  #rest(workedMs: number, signal: AbortSignal): Promise<void> {
    const { restShare, maxRestMs } = this.#limits;
    return sleep(Math.min(maxRestMs, workedMs * restShare), signal);
  }

  #newBacklog(): Backlog {
    const { store, now, limits } = this.#options;
    return new Backlog(store, now, limits);
  }

  /** An orderly end is no crash: nothing of this batch is suspect. */
  async #forgetBatch(run: JobRun): Promise<void> {
    if (!this.#kept && Object.keys(run.job.checkpoint).length === 0) return;
    this.#kept = false;
    try {
      await run.saveCheckpoint({});
    } catch (error) {
      this.#options.log.debug("checkpoint not cleared", { job: run.job.id, reason: messageOf(error) });
    }
  }

  /** @returns true when new mail came in */
  async #linger(signal: AbortSignal): Promise<boolean> {
    if (this.#nudged) return true;
    const waiting = new AbortController();
    this.#waiting = waiting;
    try {
      await sleep(this.#limits.lingerMs, AbortSignal.any([signal, waiting.signal]), false);
      return false;
    } catch (error) {
      signal.throwIfAborted();
      if (waiting.signal.aborted) return true;
      throw error;
    } finally {
      this.#waiting = undefined;
    }
  }

  /** The messages at work when a process ended: one by one, so that the culprit is known if it happens again. */
  async #retrySuspects(run: JobRun, extractor: Extractor): Promise<void> {
    const { batch, alone } = readCheckpoint(run.job.checkpoint);
    for (const [i, id] of batch.entries()) {
      const crashes = alone?.id === id ? alone.crashes : 0;
      if (crashes >= this.#limits.crashes) {
        await this.#giveUp(id, "the service ended while it was read");
        continue;
      }
      await run.saveCheckpoint({ batch: batch.slice(i), alone: { id, crashes: crashes + 1 } });
      await this.#make([id], extractor, run.signal);
    }
  }

  async #giveUp(id: MessageId, reason: string): Promise<void> {
    const { store } = this.#options;
    const messages = await store.load([id]);
    await this.#save(messages.map(message => this.#failed(message, reason, false)));
  }

  async #make(ids: readonly MessageId[], extractor: Extractor, signal: AbortSignal): Promise<void> {
    const messages = await this.#options.store.load(ids);
    let texts: MadeText[] = [];
    let bytes = 0;
    for (const message of messages) {
      signal.throwIfAborted();
      const text = await this.#textOf(message, extractor, signal);
      signal.throwIfAborted();
      texts.push(text);
      bytes += text.folded.length * 2 + text.grams.length * 12;
      if (bytes < this.#limits.batchBytes) continue;
      await this.#save(texts);
      texts = [];
      bytes = 0;
    }
    await this.#save(texts);
  }

  async #textOf(message: Untexted, extractor: Extractor, signal: AbortSignal): Promise<MadeText> {
    const read = await this.#read(message, signal);
    if (!("request" in read)) return read;
    const result = await extractor.extract(read.request);
    if (result.kind === "failed") return this.#failed(message, result.reason, false);
    const cut = result.cut || read.cut;
    return {
      messageId: message.messageId,
      outcome: cut ? "cut" : "complete",
      reason: cut ? "longer than the limits" : undefined,
      again: false,
      folded: result.folded,
      grams: result.grams,
    };
  }

  async #read(message: Untexted, signal: AbortSignal) {
    const deadline = deadlineAfter(this.#limits.readMs, signal);
    try {
      const { pieces, cut } = planSearchText(message.structure);
      return { request: await readPieces(this.#options.blobs, message.digest, pieces, deadline), cut };
    } catch (error) {
      const code = error instanceof MairustError ? error.code : "internal";
      // A structure stays as it is; a blob may be readable later.
      return this.#failed(message, `not readable: ${code}`, code !== "data_invalid");
    } finally {
      deadline.dispose();
    }
  }

  #failed(message: Untexted, reason: string, again: boolean): MadeText {
    this.#options.log[again ? "info" : "warn"]("message has no search text", {
      id: message.messageId,
      reason,
    });
    const { folded, grams } = fallbackSearchText(message.known);
    return { messageId: message.messageId, outcome: "failed", reason, again, folded, grams };
  }

  async #save(texts: readonly MadeText[]): Promise<void> {
    const { store, onMade } = this.#options;
    await store.save(texts);
    for (const { outcome } of texts) onMade(outcome);
  }
}

interface Checkpoint {
  readonly batch: readonly MessageId[];
  readonly alone: { readonly id: MessageId; readonly crashes: number } | undefined;
}

/** What an earlier version wrote in another form counts as nothing. */
function readCheckpoint({ batch, alone }: JobData): Checkpoint {
  const ids = Array.isArray(batch) ? batch.filter(id => typeof id === "string").map(messageId) : [];
  const known = typeof alone === "object" && alone !== null && "id" in alone && "crashes" in alone;
  return {
    batch: ids,
    alone:
      known && typeof alone.id === "string" && typeof alone.crashes === "number"
        ? { id: messageId(alone.id), crashes: alone.crashes }
        : undefined,
  };
}
