/**
 * One message while its bytes come in (message path, step 6): digest, spool and structure in a single pass, nothing read twice.
 */
import type { MessageId } from "../core/ids.ts";
import { decodeHeaderValue } from "../core/mime/header.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import { packStructure } from "../core/mime/packed.ts";
import { MessageScanner } from "../core/mime/scanner.ts";
import type { MessageStructure } from "../core/mime/structure.ts";
import type { BlobRecord, BlobStage, BlobStore, StagedBlob } from "../core/ports/blobs.ts";
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

export class MessageReceiver {
  readonly id: MessageId;
  readonly receivedAt: Date;
  readonly #scanner: MessageScanner;
  readonly #stage: BlobStage;

  constructor(blobs: BlobStore, id: MessageId, receivedAt: Date, limits: MimeLimits) {
    this.id = id;
    this.receivedAt = receivedAt;
    this.#scanner = new MessageScanner(limits);
    this.#stage = blobs.stage();
  }

  /** Back-pressure as `BlobStage.write`. */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#scanner.write(chunk);
    return this.#stage.write(chunk);
  }

  async finish(): Promise<ReceivedMessage> {
    const staged = await this.#stage.finish();
    const structure = this.#scanner.end();
    return { id: this.id, receivedAt: this.receivedAt, structure, packed: packStructure(structure), staged };
  }

  abort(): Promise<void> {
    return this.#stage.abort();
  }
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
