/**
 * Makes what IMAP's SEARCH and PREVIEW need of messages, after their commit: reads the blob, lets a process of its own make it, stores
 * it. When and in which order: `standing-job.ts`. A message that stops that process may hold any text, and is done.
 */
import { MairustError } from "../../core/errors.ts";
import type { MessageId } from "../../core/ids.ts";
import { type IndexPiece, planIndex } from "../../core/mail-text/index-plan.ts";
import type { IndexText } from "../../core/mail-text/index-text.ts";
import type { BlobStore } from "../../core/ports/blobs.ts";
import type { ImapTextStore, IndexOutcome, MadeIndex, Unindexed } from "../../core/ports/imap-texts.ts";
import type { Log } from "../../core/ports/log.ts";
import { deadlineAfter } from "../../platform/deadline.ts";
import type { BacklogLimits } from "../backlog.ts";
import type { ExtractRequest } from "../extract-protocol.ts";
import { Extractor, type ExtractorLimits, processEntry } from "../extractor.ts";
import type { Pace } from "../pace.ts";
import { readPieces } from "../read-pieces.ts";
import {
  createStandingJob,
  type Maker,
  type StandingJobHandler,
  type StandingLimits,
} from "../standing-job.ts";

export const IMAP_TEXT_JOB = "imap_text";

export interface ImapTextLimits {
  /** Grams in one statement; its last message may go beyond. */
  readonly batchGrams: number;
  /** For reading one message. */
  readonly readMs: number;
}

export const IMAP_TEXT_LIMITS: ImapTextLimits = { batchGrams: 100_000, readMs: 20_000 };

export interface ImapTextOptions {
  readonly store: ImapTextStore;
  readonly blobs: BlobStore;
  readonly log: Log;
  readonly now: () => number;
  readonly pace?: Pace;
  readonly onMade: (outcome: IndexOutcome) => void;
  readonly limits?: Partial<ImapTextLimits & StandingLimits & BacklogLimits & ExtractorLimits>;
  /** Of its process; only tests have another. */
  readonly processEntry?: URL;
}

export function createImapTextHandler(options: ImapTextOptions): StandingJobHandler {
  return createStandingJob({
    ...options,
    kind: IMAP_TEXT_JOB,
    walk: options.store,
    openMaker: () => new IndexMaker(options),
  });
}

class IndexMaker implements Maker {
  readonly #options: ImapTextOptions;
  readonly #limits: ImapTextLimits;
  readonly #extractor: Extractor<IndexPiece, IndexText>;

  constructor(options: ImapTextOptions) {
    this.#options = options;
    this.#limits = { ...IMAP_TEXT_LIMITS, ...options.limits };
    this.#extractor = new Extractor(options.processEntry ?? processEntry("index-process"), options.limits);
  }

  close(): Promise<void> {
    return this.#extractor.close();
  }

  async giveUp(id: MessageId, reason: string): Promise<void> {
    await this.#save([this.#failed(id, reason, false)]);
  }

  async make(ids: readonly MessageId[], signal: AbortSignal): Promise<void> {
    let made: MadeIndex[] = [];
    let grams = 0;
    for (const message of await this.#options.store.load(ids)) {
      signal.throwIfAborted();
      const one = await this.#indexOf(message, signal);
      signal.throwIfAborted();
      made.push(one);
      grams += one.grams.length;
      if (grams < this.#limits.batchGrams) continue;
      await this.#save(made);
      made = [];
      grams = 0;
    }
    await this.#save(made);
  }

  async #indexOf(message: Unindexed, signal: AbortSignal): Promise<MadeIndex> {
    const read = await this.#read(message, signal);
    if (!("request" in read)) return read;
    const result = await this.#extractor.extract(read.request);
    if (result.kind === "failed") return this.#failed(message.messageId, result.reason, false);
    const complete = read.complete && result.complete;
    return {
      messageId: message.messageId,
      complete,
      again: false,
      preview: result.preview,
      grams: complete ? result.grams : new Int32Array(0),
      prefixKeys: complete ? message.prefixKeys : "",
    };
  }

  async #read(message: Unindexed, signal: AbortSignal) {
    const { messageId, digest, structure, headerBytes, prefixes } = message;
    const deadline = deadlineAfter(this.#limits.readMs, signal);
    try {
      const { pieces, complete } = planIndex(structure, headerBytes);
      const read = await readPieces(this.#options.blobs, digest, pieces, deadline);
      return { request: withPrefixes(read, prefixes), complete };
    } catch (error) {
      const code = error instanceof MairustError ? error.code : "internal";
      // A structure stays as it is; a blob may be readable later.
      return this.#failed(messageId, `not readable: ${code}`, code !== "data_invalid");
    } finally {
      deadline.dispose();
    }
  }

  #failed(messageId: MessageId, reason: string, again: boolean): MadeIndex {
    this.#options.log[again ? "info" : "warn"]("message is not indexed for IMAP", { id: messageId, reason });
    return {
      messageId,
      complete: false,
      again,
      preview: undefined,
      grams: new Int32Array(0),
      prefixKeys: "",
    };
  }

  async #save(made: readonly MadeIndex[]): Promise<void> {
    const { store, onMade } = this.#options;
    await store.save(made);
    for (const { complete, preview } of made)
      onMade(complete ? "complete" : preview === undefined ? "failed" : "incomplete");
  }
}

function withPrefixes(
  { octets, pieces }: ExtractRequest<IndexPiece>,
  prefixes: Uint8Array,
): ExtractRequest<IndexPiece> {
  if (prefixes.length === 0) return { octets, pieces };
  const piece = { kind: "prefix", start: 0, end: 0, encoding: "", charset: "" } as const;
  return {
    octets: Buffer.concat([octets, prefixes]),
    pieces: [...pieces, { ...piece, at: octets.length, length: prefixes.length }],
  };
}
