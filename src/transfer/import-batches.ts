/**
 * Messages of one folder on their way to the service: files are opened ahead, and go in batches that the service stores in order: UIDs follow
 * from the order. A batch that fails as a whole is sent again message by message.
 */
import { MairustError } from "../core/errors.ts";
import type { BatchHead, BatchResult } from "../wire/api/transfer.ts";
import { abandonFrame, dataFrames, endFrame, headFrame, lastFrame } from "../wire/message-batch.ts";
import { MAX_BATCH_MESSAGES } from "../wire/transfer.ts";
import type { SourceEntry } from "./maildir-scan.ts";
import { FileChanged, type LoadedFile } from "./message-file.ts";

/** Files that are open or read ahead of the one that is being sent. */
const READ_AHEAD = 16;
/** Frames are put together up to this size: one write each would cost more than what is in them. */
const WRITE_BYTES = 64 * 1024;
/** After this many octets a batch ends. */
const BATCH_BYTES = 32 * 1024 * 1024;

export interface PendingMessage {
  readonly entry: SourceEntry;
  /** The UID that it has at the source, or gets by `--final`. */
  readonly uid: number | undefined;
}

interface Opened {
  readonly pending: PendingMessage;
  readonly file: LoadedFile;
}

export type Sent =
  | {
      readonly kind: "sent";
      readonly pending: PendingMessage;
      readonly result: BatchResult;
      readonly broken: string;
    }
  | { readonly kind: "vanished"; readonly pending: PendingMessage }
  | {
      readonly kind: "bad";
      readonly pending: PendingMessage;
      readonly reason: string;
      readonly detail: string;
    };

export interface BatchSender {
  readonly load: (entry: SourceEntry) => Promise<LoadedFile>;
  /** One request. @throws when it failed: what came first may be stored, and is `already` there when it is sent again */
  readonly send: (frames: AsyncIterable<Uint8Array>) => Promise<readonly BatchResult[]>;
  /** A single message of a failed batch may be the reason. */
  readonly isPoison: (error: unknown) => boolean;
}

/** @returns what became of each message, batch by batch, in order. Stop reading it to stop sending. */
export async function* sendMessages(
  sender: BatchSender,
  messages: readonly PendingMessage[],
): AsyncIterable<readonly Sent[]> {
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

async function sendBatch(sender: BatchSender, batch: OutgoingBatch): Promise<readonly Sent[]> {
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
async function sendAlone(sender: BatchSender, batch: OutgoingBatch): Promise<readonly Sent[]> {
  const results: Sent[] = [];
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
class ReadAhead {
  readonly #load: (entry: SourceEntry) => Promise<LoadedFile>;
  readonly #messages: readonly PendingMessage[];
  readonly #waiting: { readonly pending: PendingMessage; readonly file: Promise<LoadedFile> }[] = [];
  #next = 0;

  constructor(load: (entry: SourceEntry) => Promise<LoadedFile>, messages: readonly PendingMessage[]) {
    this.#load = load;
    this.#messages = messages;
  }

  get finished(): boolean {
    return this.#waiting.length === 0 && this.#next >= this.#messages.length;
  }

  async take(): Promise<Opened | undefined> {
    while (this.#waiting.length < READ_AHEAD && this.#next < this.#messages.length) {
      const pending = this.#messages[this.#next++] as PendingMessage;
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

type Good = Opened & { readonly file: Extract<LoadedFile, { kind: "message" }> };

class OutgoingBatch {
  readonly all: PendingMessage[] = [];
  readonly #opened: ReadAhead;
  readonly #max: number;
  /** Of each message of `all`: `sent` stands for the next result of the service. */
  readonly #outcomes: ((results: BatchResult[]) => Sent)[] = [];
  #bytes = 0;

  constructor(opened: ReadAhead, max: number) {
    this.#opened = opened;
    this.#max = max;
  }

  async firstGood(): Promise<Good | undefined> {
    return this.#nextGood();
  }

  async *frames(first: Good): AsyncIterable<Uint8Array> {
    let good: Good | undefined = first;
    while (good !== undefined) {
      yield* this.#message(good);
      good = this.all.length < this.#max && this.#bytes < BATCH_BYTES ? await this.#nextGood() : undefined;
    }
    yield lastFrame();
  }

  /** In the order in which the messages were taken. */
  outcomes(results: readonly BatchResult[]): readonly Sent[] {
    const rest = [...results];
    return this.#outcomes.map(outcome => outcome(rest));
  }

  async #nextGood(): Promise<Good | undefined> {
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

  async *#message({ pending, file }: Good): AsyncIterable<Uint8Array> {
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
      flags: entry.flags,
      keywords: entry.keywords,
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
