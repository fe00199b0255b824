/**
 * A batch of imported messages: each is staged as it comes and made durable while the next ones come; every hundred are stored in one
 * transaction, in order, while the next hundred come. Bytes are kept exactly; no field is added, no hook runs. When a batch breaks
 * off, what was stored stays (and is known by its keys), the rest leaves nothing but blobs that nobody points to. From a blob's file
 * to its row it is minutes at most, as `store/blob-gc.ts` needs: the request has a time limit of its own.
 */
import { MairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import type { BlobRecord, BlobStore } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import type {
  BatchImporter,
  BatchOutcome,
  BatchPart,
  ImportMessage,
  ImportOutcome,
  ImportStore,
  IncomingMessage,
} from "../core/ports/transfer.ts";
import { type ComparableOf, recognize } from "./import-recognize.ts";
import { MessageReceiver, messageColumns, type ReceivedMessage } from "./received-message.ts";

/** Blobs of one batch that are made durable at a time: they share the fsync of their folder. */
const MAX_PERSISTING = 16;
/** Messages of one transaction, and the octets after which it is closed: their structures travel in one statement. */
const GROUP_MESSAGES = 100;
const GROUP_BYTES = 8 * 1024 * 1024;

export interface BatchImporterOptions {
  readonly blobs: BlobStore;
  readonly store: ImportStore;
  readonly comparableOf: ComparableOf;
  readonly newMessageId: () => MessageId;
  readonly maxMessageBytes: () => number;
  readonly mimeLimits: () => MimeLimits;
  /** Messages that one batch may have. */
  readonly maxBatch: number;
  readonly log: Log;
}

type Target = Parameters<BatchImporter["add"]>[0];

export function createBatchImporter(options: BatchImporterOptions): BatchImporter {
  return {
    async add(target, parts) {
      const batch = new Batch(options, target);
      try {
        for await (const part of parts) await batch.take(part);
        return await batch.store();
      } finally {
        await batch.release();
      }
    },
  };
}

/** What became of one message of the batch before the transaction. */
type Taken =
  | { readonly kind: "durable"; readonly message: ImportMessage }
  | { readonly kind: "abandoned" | "too_large"; readonly sizeBytes: number };

/** What goes into one transaction. */
class Group {
  readonly taken: Promise<Taken>[] = [];
  readonly received: ReceivedMessage[] = [];
  bytes = 0;

  get isFull(): boolean {
    return this.taken.length >= GROUP_MESSAGES || this.bytes >= GROUP_BYTES;
  }

  async discard(): Promise<void> {
    await Promise.all(this.received.splice(0).map(message => message.staged.discard()));
  }
}

class Batch {
  readonly #options: BatchImporterOptions;
  readonly #target: Target;
  readonly #outcomes: BatchOutcome[] = [];
  #group = new Group();
  /** The transaction under way: one at a time, UIDs follow from the order. */
  #storing: Promise<void> = Promise.resolve();
  #messages = 0;
  #isOverQuota = false;
  /** Ends of those that are being made durable; none rejects. */
  readonly #persisting = new Set<Promise<unknown>>();
  #head: IncomingMessage | undefined;
  #receiver: MessageReceiver | undefined;
  #sizeBytes = 0;

  constructor(options: BatchImporterOptions, target: Target) {
    this.#options = options;
    this.#target = target;
  }

  async take(part: BatchPart): Promise<void> {
    switch (part.kind) {
      case "head":
        return this.#begin(part.message);
      case "data":
        return this.#data(part.bytes);
      case "abandon":
        this.#current();
        await this.#drop("abandoned");
        return;
      case "end":
        return this.#end();
    }
  }

  /** After the last part. @throws what the store or the blobs threw: the rest of the batch is not stored */
  async store(): Promise<readonly BatchOutcome[]> {
    if (this.#head !== undefined) throw outOfOrder("it ends inside a message");
    await this.#closeGroup();
    await this.#storing;
    return this.#outcomes;
  }

  /** Whatever happened: no stage stays open, no temporary file stays. */
  async release(): Promise<void> {
    await this.#receiver?.abort();
    await this.#storing.catch(() => undefined);
    await Promise.all(this.#persisting);
    await this.#group.discard();
  }

  /** Wait for the transaction before, then start this one: one is under way while the next group fills. */
  async #closeGroup(): Promise<void> {
    const group = this.#group;
    await this.#storing;
    this.#group = new Group();
    this.#storing = this.#storeGroup(group).finally(() => group.discard());
    // Heard by the next wait for it.
    this.#storing.catch(() => undefined);
  }

  async #storeGroup(group: Group): Promise<void> {
    const taken = await Promise.all(group.taken);
    const durable = taken.flatMap(one => (one.kind === "durable" ? [one.message] : []));
    const outcomes = [...(await this.#add(durable))];
    for (const one of taken) {
      if (one.kind !== "durable") {
        this.#outcomes.push(one);
        continue;
      }
      const outcome = outcomes.shift();
      if (outcome === undefined) throw new MairustError("internal", "Cannot import: an outcome is missing");
      if (outcome.kind === "over_quota") this.#isOverQuota = true;
      this.#outcomes.push({ ...outcome, sizeBytes: one.message.delivery.blob.sizeBytes });
    }
  }

  async #add(messages: readonly ImportMessage[]): Promise<readonly ImportOutcome[]> {
    const { account, mailbox, importId, keep } = this.#target;
    // Nothing is passed over, in no later transaction either.
    if (this.#isOverQuota) return messages.map(() => ({ kind: "over_quota" }));
    const known = await recognize(this.#options, this.#target, messages);
    return this.#options.store.add(account, mailbox, importId, keep, known);
  }

  #begin(message: IncomingMessage): void {
    if (this.#head !== undefined) throw outOfOrder("a message begins inside another");
    this.#messages += 1;
    if (this.#messages > this.#options.maxBatch) throw outOfOrder("it has too many messages");
    const { blobs, log, newMessageId, mimeLimits } = this.#options;
    this.#head = message;
    this.#sizeBytes = 0;
    this.#receiver = new MessageReceiver({
      blobs,
      id: newMessageId(),
      // When it came is what the source says: lists and search go by it.
      receivedAt: message.internalDate,
      limits: mimeLimits(),
      log,
    });
  }

  async #data(bytes: Uint8Array): Promise<void> {
    this.#current();
    this.#sizeBytes += bytes.length;
    if (this.#receiver === undefined) return;
    if (this.#sizeBytes <= this.#options.maxMessageBytes()) {
      await this.#receiver.write(bytes);
      return;
    }
    // The rest of it is read and forgotten: the batch goes on.
    const receiver = this.#receiver;
    this.#receiver = undefined;
    await receiver.abort();
  }

  async #end(): Promise<void> {
    const head = this.#current();
    if (this.#receiver === undefined) return this.#drop("too_large");
    const received = await this.#receiver.finish();
    this.#receiver = undefined;
    this.#head = undefined;
    this.#group.received.push(received);
    this.#group.bytes += this.#sizeBytes;
    while (this.#persisting.size >= MAX_PERSISTING) await Promise.race(this.#persisting);
    const persisted = received.staged.persist();
    const settled: Promise<unknown> = persisted
      .catch(() => undefined)
      .then(() => this.#persisting.delete(settled));
    this.#persisting.add(settled);
    const taken = persisted.then(
      blob => ({ kind: "durable", message: this.#message(head, received, blob) }) as const,
    );
    // It may fail long before `store` awaits it.
    taken.catch(() => undefined);
    this.#group.taken.push(taken);
    if (this.#group.isFull) await this.#closeGroup();
  }

  async #drop(kind: "abandoned" | "too_large"): Promise<void> {
    const receiver = this.#receiver;
    this.#receiver = undefined;
    this.#head = undefined;
    this.#group.taken.push(Promise.resolve({ kind, sizeBytes: this.#sizeBytes }));
    await receiver?.abort();
  }

  #current(): IncomingMessage {
    if (this.#head === undefined) throw outOfOrder("there is no message yet");
    return this.#head;
  }

  #message(head: IncomingMessage, received: ReceivedMessage, blob: BlobRecord): ImportMessage {
    const { account, address, mailbox, importId } = this.#target;
    const data = { import: importId, source_key: head.key, size_bytes: blob.sizeBytes, mailbox };
    return {
      ...head,
      digest: blob.digest,
      delivery: {
        ...messageColumns(received, blob),
        queueId: "",
        mailFrom: "",
        events: [{ at: new Date(), kind: "added", recipient: address, data }],
        targets: [
          {
            accountId: account,
            recipient: address,
            mailbox,
            ifMissing: "fail",
            flags: head.flags,
            internalDate: head.internalDate,
            prefix: new Uint8Array(0),
            metadata: {},
            exactlyOnce: false,
            events: [],
          },
        ],
      },
    };
  }
}

function outOfOrder(what: string): MairustError {
  return new MairustError("invalid_argument", `Cannot take a batch: ${what}`, {
    publicText: `the batch: ${what}`,
  });
}
