/**
 * One message while its bytes come in (message path, step 6): digest, spool and structure in a single pass, nothing read twice.
 */
import { toMairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import { decodeHeaderValue } from "../core/mime/header.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import { packStructure } from "../core/mime/packed.ts";
import { MessageScanner } from "../core/mime/scanner.ts";
import type { MessageStructure } from "../core/mime/structure.ts";
import type { BlobRecord, BlobStage, BlobStore, StagedBlob } from "../core/ports/blobs.ts";
import type { Log } from "../core/ports/log.ts";
import type { Delivery } from "../core/ports/store.ts";

/** Characters of Subject and From kept for lists and search. */
const LIST_TEXT_MAX = 500;

export interface ReceivedMessage {
  readonly id: MessageId;
  readonly receivedAt: Date;
  readonly structure: MessageStructure;
  readonly packed: Uint8Array;
  readonly staged: StagedBlob;
}

export interface ReceiverParts {
  readonly blobs: Pick<BlobStore, "stage">;
  readonly id: MessageId;
  readonly receivedAt: Date;
  readonly limits: MimeLimits;
  readonly log: Log;
}

export class MessageReceiver {
  readonly id: MessageId;
  readonly receivedAt: Date;
  readonly #log: Log;
  /** Undefined after it failed: the message is then one opaque leaf. */
  #scanner: MessageScanner | undefined;
  readonly #stage: BlobStage;

  constructor({ blobs, id, receivedAt, limits, log }: ReceiverParts) {
    this.id = id;
    this.receivedAt = receivedAt;
    this.#log = log;
    this.#scanner = new MessageScanner(limits);
    this.#stage = blobs.stage();
  }

  /** Back-pressure as `BlobStage.write`. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#scan(scanner => scanner.write(chunk));
    return this.#stage.write(chunk);
  }

  async finish(): Promise<ReceivedMessage> {
    const staged = await this.#stage.finish();
    const scanned = this.#scan(scanner => {
      const structure = scanner.end();
      return { structure, packed: packStructure(structure) };
    });
    const structure = scanned?.structure ?? opaqueStructure(staged.sizeBytes);
    return {
      id: this.id,
      receivedAt: this.receivedAt,
      structure,
      packed: scanned?.packed ?? packStructure(structure),
      staged,
    };
  }

  abort(): Promise<void> {
    return this.#stage.abort();
  }

  /** The scanner promises never to throw. If it does all the same, the message loses its structure, not its delivery. */
  #scan<T>(work: (scanner: MessageScanner) => T): T | undefined {
    if (this.#scanner === undefined) return undefined;
    try {
      return work(this.#scanner);
    } catch (error) {
      this.#scanner = undefined;
      this.#log.error("message structure lost", {
        id: this.id,
        error: toMairustError(error, "scan the message"),
      });
      return undefined;
    }
  }
}

/** A message of which nothing is known but its size. */
function opaqueStructure(sizeBytes: number): MessageStructure {
  const empty = new MessageScanner().end();
  const root = {
    ...empty.root,
    type: "application",
    subtype: "octet-stream",
    lines: undefined,
    bodyEnd: sizeBytes,
  };
  return { ...empty, root, sizeBytes, truncated: true };
}

/** The columns of a message that come from its bytes alone. */
export function messageColumns(
  message: ReceivedMessage,
  blob: BlobRecord,
): Omit<Delivery, "queueId" | "mailFrom" | "targets" | "events"> {
  const { structure } = message;
  return {
    messageId: message.id,
    receivedAt: message.receivedAt,
    blob,
    structure: message.packed,
    header: structure.headerBytes,
    headerBytes: structure.headerSizeBytes,
    messageIdHeader: structure.messageId,
    subject: listText(structure.envelope.subject),
    from: listText(structure.envelope.from),
    threadKey: structure.threadKey,
    attachments: structure.attachments.length,
  };
}

function listText(raw: string | undefined): string {
  return raw === undefined ? "" : decodeHeaderValue(Buffer.from(raw, "latin1")).slice(0, LIST_TEXT_MAX);
}
