/**
 * Messages of one folder on their way to the service: files are opened ahead, and go in batches that the service stores in order: UIDs follow
 * from the order. A batch that fails as a whole is sent again message by message.
 */
import { MairustError } from "../core/errors.ts";
import type { BatchHead, BatchResult } from "../wire/api/transfer.ts";
import { abandonFrame, dataFrames, endFrame, headFrame, lastFrame } from "../wire/message-batch.ts";
import { MAX_BATCH_MESSAGES } from "../wire/transfer.ts";
import { FileChanged, type LoadedFile } from "./message-file.ts";

/** Files that are open or read ahead of the one that is being sent. */
const READ_AHEAD = 16;
/** Frames are put together up to this size: one write each would cost more than what is in them. */
const WRITE_BYTES = 64 * 1024;
/** After this many octets a batch ends. */
const BATCH_BYTES = 32 * 1024 * 1024;

/** A message at its source. */
export interface BatchEntry {
  readonly key: string;
  readonly flags: readonly string[];
  readonly keywords: readonly string[];
}

export interface PendingMessage<E extends BatchEntry = BatchEntry> {
  readonly entry: E;
  /** The UID that it has at the source, or gets by `--final`. */
  readonly uid: number | undefined;
}

interface Opened<E extends BatchEntry> {
  readonly pending: PendingMessage<E>;
  readonly file: LoadedFile;
}

export type Sent<E extends BatchEntry = BatchEntry> =
  | {
      readonly kind: "sent";
      readonly pending: PendingMessage<E>;
      readonly result: BatchResult;
      readonly broken: string;
    }
  | { readonly kind: "vanished"; readonly pending: PendingMessage<E> }
  | {
      readonly kind: "bad";
      readonly pending: PendingMessage<E>;
      readonly reason: string;
      readonly detail: string;
    };

export interface BatchSender<E extends BatchEntry> {
  readonly load: (entry: E) => Promise<LoadedFile>;
  /** One request. @throws when it failed: what came first may be stored, and is `already` there when it is sent again */
  readonly send: (frames: AsyncIterable<Uint8Array>) => Promise<readonly BatchResult[]>;
  /** A single message of a failed batch may be the reason. */
  readonly isPoison: (error: unknown) => boolean;
}

/** @returns what became of each message, batch by batch, in order. Stop reading it to stop sending. */
export async function* sendMessages<E extends BatchEntry>(
  sender: BatchSender<E>,
  messages: readonly PendingMessage<E>[],
): AsyncIterable<readonly Sent<E>[]> {
  const opened = new ReadAhead(sender.load, messages);
  try {
    while (!opened.finished) {
      const batch = new OutgoingBatch(opened, MAX_BATCH_MESSAGES);
      yield await sendBatch(sender, batch);
    }
  } finally {
    await opened.close();
  }
}

async function sendBatch<E extends BatchEntry>(
  sender: BatchSender<E>,
  batch: OutgoingBatch<E>,
): Promise<readonly Sent<E>[]> {
  // Without a message that can be read there is nothing to send.
  const first = await batch.firstGood();
  if (first === undefined) return batch.outcomes([]);
  try {
    return batch.outcomes(await sender.send(joined(batch.frames(first))));
  } catch (error) {
    if (!sender.isPoison(error)) throw error;
    return sendAlone(sender, batch);
  }
}

/** The batch failed as a whole: each by itself, so that a poisoned message hurts only itself. */
async function sendAlone<E extends BatchEntry>(
  sender: BatchSender<E>,
  batch: OutgoingBatch<E>,
): Promise<readonly Sent<E>[]> {
  const results: Sent<E>[] = [];
  for (const pending of batch.all) {
    const alone = new ReadAhead(sender.load, [pending]);
    const single = new OutgoingBatch(alone, 1);
    try {
      const first = await single.firstGood();
      const sent = first === undefined ? [] : await sender.send(joined(single.frames(first)));
      results.push(...single.outcomes(sent));
    } catch (error) {
      if (!sender.isPoison(error)) throw error;
      const detail = error instanceof Error ? error.message : String(error);
      results.push({ kind: "bad", pending, reason: "refused", detail });
    } finally {
      await alone.close();
    }
  }
  return results;
}

async function* joined(frames: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const frame of frames) {
    waiting.push(frame);
    bytes += frame.length;
    if (bytes < WRITE_BYTES) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  if (waiting.length > 0) yield Buffer.concat(waiting);
}

/** Opens files in order, a bounded number ahead. */
class ReadAhead<E extends BatchEntry> {
  readonly #load: (entry: E) => Promise<LoadedFile>;
  readonly #messages: readonly PendingMessage<E>[];
  readonly #waiting: { readonly pending: PendingMessage<E>; readonly file: Promise<LoadedFile> }[] = [];
  #next = 0;

  constructor(load: (entry: E) => Promise<LoadedFile>, messages: readonly PendingMessage<E>[]) {
    this.#load = load;
    this.#messages = messages;
  }

  get finished(): boolean {
    return this.#waiting.length === 0 && this.#next >= this.#messages.length;
  }

  async take(): Promise<Opened<E> | undefined> {
    while (this.#waiting.length < READ_AHEAD && this.#next < this.#messages.length) {
      const pending = this.#messages[this.#next++] as PendingMessage<E>;
      const file = this.#load(pending.entry);
      // Awaited later, maybe never: `close` looks at it then.
      file.catch(() => undefined);
      this.#waiting.push({ pending, file });
    }
    const first = this.#waiting.shift();
    return first === undefined ? undefined : { pending: first.pending, file: await first.file };
  }

  async close(): Promise<void> {
    for (const { file } of this.#waiting.splice(0)) {
      const loaded = await file.catch(() => undefined);
      if (loaded?.kind === "message") await loaded.close();
    }
  }
}

type Good<E extends BatchEntry> = Opened<E> & { readonly file: Extract<LoadedFile, { kind: "message" }> };

class OutgoingBatch<E extends BatchEntry> {
  readonly all: PendingMessage<E>[] = [];
  readonly #opened: ReadAhead<E>;
  readonly #max: number;
  /** Of each message of `all`: `sent` stands for the next result of the service. */
  readonly #outcomes: ((results: BatchResult[]) => Sent<E>)[] = [];
  #bytes = 0;

  constructor(opened: ReadAhead<E>, max: number) {
    this.#opened = opened;
    this.#max = max;
  }

  async firstGood(): Promise<Good<E> | undefined> {
    return this.#nextGood();
  }

  async *frames(first: Good<E>): AsyncIterable<Uint8Array> {
    let good: Good<E> | undefined = first;
    while (good !== undefined) {
      yield* this.#message(good);
      good = this.all.length < this.#max && this.#bytes < BATCH_BYTES ? await this.#nextGood() : undefined;
    }
    yield lastFrame();
  }

  /** In the order in which the messages were taken. */
  outcomes(results: readonly BatchResult[]): readonly Sent<E>[] {
    const rest = [...results];
    return this.#outcomes.map(outcome => outcome(rest));
  }

  async #nextGood(): Promise<Good<E> | undefined> {
    while (this.all.length < this.#max) {
      const opened = await this.#opened.take();
      if (opened === undefined) return undefined;
      const { pending, file } = opened;
      this.all.push(pending);
      if (file.kind === "message") return { pending, file };
      this.#outcomes.push(() =>
        file.kind === "vanished"
          ? { kind: "vanished", pending }
          : { kind: "bad", pending, reason: file.reason, detail: file.detail },
      );
    }
    return undefined;
  }

  async *#message({ pending, file }: Good<E>): AsyncIterable<Uint8Array> {
    const { entry, uid } = pending;
    const broken = { text: "" };
    this.#outcomes.push(results => {
      const result = results.shift();
      if (result === undefined)
        throw new MairustError("internal", "Cannot import: the service gave too few results");
      return { kind: "sent", pending, result, broken: broken.text };
    });
    const head: BatchHead = {
      key: entry.key,
      source_uid: uid ?? null,
      flags: (file.flags ?? entry).flags,
      keywords: (file.flags ?? entry).keywords,
      internal_date: file.date.toISOString(),
    };
    yield headFrame(head);
    try {
      for await (const chunk of file.chunks()) {
        this.#bytes += chunk.length;
        yield* dataFrames(chunk);
      }
    } catch (error) {
      if (!(error instanceof FileChanged)) throw error;
      broken.text = error.message;
      yield abandonFrame();
      return;
    }
    yield endFrame();
  }
}
