/**
 * What is kept of a message while the MTA sends it to the milter (message path, step 1): all of it in a blob's spool when a hook
 * reads the body or may hold the message, its header when hooks read no more, nothing without hooks.
 *
 * What fails how: over `limits.message_bytes` → `message_too_large`, no room → `disk_full`; both become the message's answer.
 */
import { MairustError, toMairustError } from "../core/errors.ts";
import type { MimeLimits } from "../core/mime/limits.ts";
import { packStructure } from "../core/mime/packed.ts";
import { MessageScanner } from "../core/mime/scanner.ts";
import type { MessageContent, MessageFacts } from "../core/ports/hooks.ts";
import type { Log } from "../core/ports/log.ts";
import { MessageReceiver, type ReceivedMessage, type ReceiverParts } from "./received-message.ts";

/** What hooks are told of the content. */
export type ContentFacts = Pick<MessageFacts, "sizeBytes" | "header" | "threadKey" | "structure" | "content">;

export interface MilterContent {
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** Nothing more is needed. */
  readonly full: boolean;
  /** The message has ended. @param declaredBytes  the client's word, for want of a better one */
  finish(declaredBytes: number | undefined): Promise<ContentFacts>;
  /** All of the message comes. */
  readonly isWhole: boolean;
  /** Undefined: not all of the message is here, or not yet. */
  readonly message: ReceivedMessage | undefined;
  /** Drop what is only temporary. Never rejects. */
  release(): Promise<void>;
}

export class WholeContent implements MilterContent {
  readonly full = false;
  readonly isWhole = true;
  readonly #receiver: MessageReceiver;
  readonly #maxBytes: number;
  #bytes = 0;
  #message: ReceivedMessage | undefined;

  constructor(parts: ReceiverParts, maxBytes: number) {
    this.#receiver = new MessageReceiver(parts);
    this.#maxBytes = maxBytes;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) {
      throw new MairustError(
        "message_too_large",
        `Cannot take message: it has more than "${this.#maxBytes}" octets`,
      );
    }
    return this.#receiver.write(chunk);
  }

  async finish(): Promise<ContentFacts> {
    const message = await this.#receiver.finish();
    this.#message = message;
    return {
      sizeBytes: message.staged.sizeBytes,
      header: message.structure.headerHead,
      threadKey: message.structure.threadKey,
      structure: message.packed,
      content: message.staged,
    };
  }

  get message(): ReceivedMessage | undefined {
    return this.#message;
  }

  async release(): Promise<void> {
    await (this.#message === undefined ? this.#receiver.abort() : this.#message.staged.discard());
  }
}

/** The scanner keeps what it hands out of a header, and no more (`HEADER_KEEP_BYTES`). */
export class HeaderContent implements MilterContent {
  readonly isWhole = false;
  readonly message = undefined;
  readonly #scanner: MessageScanner;
  #full = false;

  constructor(limits: MimeLimits) {
    this.#scanner = new MessageScanner(limits);
  }

  get full(): boolean {
    return this.#full;
  }

  write(chunk: Uint8Array): undefined {
    if (this.#full) return;
    this.#scanner.write(chunk);
    // The header is written before the body, and its empty line ends a chunk of its own.
    this.#full = endsHeader(chunk);
  }

  async finish(declaredBytes: number | undefined): Promise<ContentFacts> {
    const structure = this.#scanner.end();
    return {
      sizeBytes: declaredBytes ?? structure.sizeBytes,
      header: structure.headerHead,
      threadKey: structure.threadKey,
      structure: packStructure(structure),
      content: unreadable(structure.sizeBytes),
    };
  }

  async release(): Promise<void> {}
}

/** Of what only the checks of the sender read nothing may cost the message: what cannot be kept is not there. */
export class SparedContent implements MilterContent {
  readonly isWhole = false;
  readonly message = undefined;
  readonly #content: MilterContent;
  readonly #log: Log;
  #isLost = false;

  constructor(content: MilterContent, log: Log) {
    this.#content = content;
    this.#log = log;
  }

  get full(): boolean {
    return this.#isLost || this.#content.full;
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#isLost) return undefined;
    try {
      return this.#content.write(chunk)?.catch(error => this.#lost(error));
    } catch (error) {
      this.#lost(error);
      return undefined;
    }
  }

  async finish(declaredBytes: number | undefined): Promise<ContentFacts> {
    if (!this.#isLost) return this.#content.finish(declaredBytes);
    const none = new Uint8Array();
    return { sizeBytes: 0, header: none, threadKey: undefined, structure: none, content: unreadable(0) };
  }

  release(): Promise<void> {
    return this.#content.release();
  }

  #lost(error: unknown): void {
    this.#isLost = true;
    this.#log.warn("milter.not_kept", { error: toMairustError(error, "keep the message") });
  }
}

/** Nobody reads anything. */
export class NoContent implements MilterContent {
  readonly full = true;
  readonly isWhole = false;
  readonly message = undefined;

  write(): undefined {}

  async finish(): Promise<ContentFacts> {
    throw new MairustError("invalid_state", "Cannot run hooks: the message was not kept for them");
  }

  async release(): Promise<void> {}
}

const HEADER_END = Buffer.from("\r\n\r\n");
const EMPTY_LINE = Buffer.from("\r\n");

function endsHeader(chunk: Uint8Array): boolean {
  return chunk.length <= EMPTY_LINE.length
    ? EMPTY_LINE.equals(chunk)
    : HEADER_END.equals(chunk.subarray(-HEADER_END.length));
}

/** A new object for each message: what hooks read of it is remembered by it. */
function unreadable(sizeBytes: number): MessageContent {
  return {
    digest: "",
    sizeBytes,
    read() {
      throw new MairustError("blob_missing", "Cannot read the body: the MTA was not asked for it");
    },
  };
}
