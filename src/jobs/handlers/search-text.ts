/**
 * Makes the text of messages for search, after their commit: reads the blob, lets a process of its own make the text, stores it. When
 * and in which order: `standing-job.ts`.
 *
 * A message that stops that process gets the text that its delivery decoded, and the reason, and is done.
 */
import { MairustError } from "../../core/errors.ts";
import type { MessageId } from "../../core/ids.ts";
import type { BlobStore } from "../../core/ports/blobs.ts";
import type { Log } from "../../core/ports/log.ts";
import type { MadeText, SearchTextStore, TextOutcome, Untexted } from "../../core/ports/search-texts.ts";
import { fallbackSearchText, type SearchText } from "../../core/search-text/extract.ts";
import { type Piece, planSearchText } from "../../core/search-text/plan.ts";
import { deadlineAfter } from "../../platform/deadline.ts";
import type { BacklogLimits } from "../backlog.ts";
import { Extractor, type ExtractorLimits, processEntry } from "../extractor.ts";
import type { Pace } from "../pace.ts";
import { readPieces } from "../read-pieces.ts";
import {
  createStandingJob,
  type Maker,
  type StandingJobHandler,
  type StandingLimits,
} from "../standing-job.ts";

export const SEARCH_TEXT_JOB = "search_text";

export interface SearchTextLimits {
  /** Octets of texts in one statement. */
  readonly batchBytes: number;
  /** For reading one message. */
  readonly readMs: number;
}

export const SEARCH_TEXT_LIMITS: SearchTextLimits = {
  batchBytes: 4 * 1024 * 1024,
  readMs: 20_000,
};

export interface SearchTextOptions {
  readonly store: SearchTextStore;
  readonly blobs: BlobStore;
  readonly log: Log;
  readonly now: () => number;
  readonly pace?: Pace;
  readonly onMade: (outcome: TextOutcome) => void;
  readonly limits?: Partial<SearchTextLimits & StandingLimits & BacklogLimits & ExtractorLimits>;
  /** Of its process; only tests have another. */
  readonly extractorEntry?: URL;
}

export function createSearchTextHandler(options: SearchTextOptions): StandingJobHandler {
  return createStandingJob({
    ...options,
    kind: SEARCH_TEXT_JOB,
    walk: options.store,
    openMaker: () => new TextMaker(options),
  });
}

class TextMaker implements Maker {
  readonly #options: SearchTextOptions;
  readonly #limits: SearchTextLimits;
  readonly #extractor: Extractor<Piece, SearchText>;

  constructor(options: SearchTextOptions) {
    this.#options = options;
    this.#limits = { ...SEARCH_TEXT_LIMITS, ...options.limits };
    this.#extractor = new Extractor(
      options.extractorEntry ?? processEntry("extract-process"),
      options.limits,
    );
  }

  close(): Promise<void> {
    return this.#extractor.close();
  }

  async giveUp(id: MessageId, reason: string): Promise<void> {
    const { store } = this.#options;
    const messages = await store.load([id]);
    await this.#save(messages.map(message => this.#failed(message, reason, false)));
  }

  async make(ids: readonly MessageId[], signal: AbortSignal): Promise<void> {
    const messages = await this.#options.store.load(ids);
    let texts: MadeText[] = [];
    let bytes = 0;
    for (const message of messages) {
      signal.throwIfAborted();
      const text = await this.#textOf(message, signal);
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

  async #textOf(message: Untexted, signal: AbortSignal): Promise<MadeText> {
    const read = await this.#read(message, signal);
    if (!("request" in read)) return read;
    const result = await this.#extractor.extract(read.request);
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
