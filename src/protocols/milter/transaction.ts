/**
 * One message from MAIL to the answer at its end: gathers the envelope, hands content on, asks for the decision. Always yields
 * one answer, whatever fails, and edits only as a whole.
 *
 * What fails how: the decider throws, a write fails, a limit is passed → the rest of the content is dropped and the error's reply
 * is the answer; the decider hangs or breaks its contract → 451 4.3.0; an edit that is not allowed → no edit at all, and 451.
 *
 * Source: mail-path.md §1
 */
import { MairustError, messageOf, toMairustError } from "../../core/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import type {
  Direction,
  MilterDecider,
  MilterDecision,
  MilterEnvelope,
  MilterMessage,
  MilterRecipient,
  ReservedField,
} from "../../core/ports/milter.ts";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import type { Options } from "./codec.ts";
import { encodeEdits, isFieldName, isReserved, removalEdits } from "./edits.ts";
import { recipientOf } from "./envelope.ts";
import { HEADER_CHUNK_BYTES, type MilterLimits, VALUE_CHARS } from "./limits.ts";
import { errorReply, renderReply } from "./reply.ts";
import { encodeResponse } from "./responses.ts";
import { SMFIP_HDR_LEADSPC, SMFIP_NOHDRS } from "./symbols.ts";

/** How a message ended, for metrics. `failed`: by our fault, answered 4xx or 5xx. */
export type MilterResult = "accepted" | "refused" | "deferred" | "discarded" | "failed" | "aborted";

export interface TransactionOptions {
  readonly decider: MilterDecider;
  readonly limits: MilterLimits;
  /** From the end of the message to the decision. */
  readonly chainTimeoutMs: number;
  readonly log: Log;
}

export interface TransactionEnd {
  /** All packets, for one write. */
  readonly packets: Buffer;
  readonly result: MilterResult;
}

const COLON = Buffer.from(":");
const COLON_BLANK = Buffer.from(": ");
const CRLF = Buffer.from("\r\n");

export class Transaction {
  readonly mailArgs: readonly string[];
  readonly agreed: Options;
  readonly recipients: MilterRecipient[] = [];
  readonly #options: TransactionOptions;
  readonly #gone = new AbortController();
  readonly #reserved: ReservedField[] = [];
  #envelopeBytes: number;
  #message: MilterMessage | undefined;
  #queueId = "";
  #direction: Direction = "inbound";
  #hasRecipients = false;
  #isOpen = false;
  #failure: MairustError | undefined;
  #header: Buffer[] = [];
  #headerBytes = 0;

  constructor(mailArgs: readonly string[], agreed: Options, options: TransactionOptions) {
    this.agreed = agreed;
    this.#options = options;
    this.#envelopeBytes = sizeOf(mailArgs);
    this.#checkEnvelope();
    this.mailArgs = this.#failure === undefined ? mailArgs : [];
  }

  /** More than fit are not kept; the message then fails at its end. */
  addRecipient(args: readonly string[]): void {
    this.#hasRecipients = true;
    this.#envelopeBytes += sizeOf(args);
    this.#checkEnvelope();
    if (this.#failure === undefined) this.recipients.push(recipientOf(args));
    this.#checkEnvelope();
  }

  /** The content begins. */
  open(envelope: MilterEnvelope): void {
    this.#queueId = envelope.queueId;
    this.#direction = envelope.direction;
    this.#isOpen = true;
    if (this.#failure !== undefined) return;
    try {
      this.#message = this.#options.decider.open(envelope);
    } catch (error) {
      this.#failure = toMairustError(error, "open message");
    }
  }

  /** At least one was told, kept or not. */
  get hasRecipients(): boolean {
    return this.#hasRecipients;
  }

  /** Known when the content begins. */
  get direction(): Direction {
    return this.#direction;
  }

  /** Content has begun, and its end was not seen. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** No body is wanted any more. */
  get full(): boolean {
    return this.#failure !== undefined || this.#message?.full === true;
  }

  /** A returned promise holds the MTA back; it never rejects. As in all methods below. */
  header(name: Buffer, value: Buffer): Promise<void> | undefined {
    const label = name.toString("latin1").trimEnd();
    if (isReserved(label)) return this.#takeOut(label, value);
    const ownBlank = (this.agreed.steps & SMFIP_HDR_LEADSPC) === 0;
    return this.#keepHeader(name, ownBlank ? COLON_BLANK : COLON, withCrlf(value), CRLF);
  }

  /** The empty line behind the header. */
  endHeader(): Promise<void> | undefined {
    if ((this.agreed.steps & SMFIP_NOHDRS) !== 0) return undefined;
    this.#keepHeader(CRLF);
    return this.#flushHeader();
  }

  body(bytes: Buffer): Promise<void> | undefined {
    return bytes.length === 0 || this.full ? undefined : this.#write(bytes);
  }

  /** The message has ended. Never rejects. */
  async end(): Promise<TransactionEnd> {
    this.#isOpen = false;
    const id = this.#message?.id ?? "";
    try {
      if (this.#failure !== undefined) throw this.#failure;
      return this.#encode(await this.#decide(), id);
    } catch (error) {
      await this.#drop();
      if (this.#gone.signal.aborted) return { packets: Buffer.alloc(0), result: "aborted" };
      const failure = toMairustError(error, "decide about message");
      this.#log.warn("milter.failed", { code: failure.code, error: failure });
      const text = renderReply(errorReply(failure), id);
      const packets = encodeResponse({ kind: "reply_code", text });
      return { packets, result: "failed" };
    }
  }

  /** The MTA gave the message up or went away. */
  async abort(): Promise<void> {
    this.#gone.abort(new MairustError("internal", "Cannot finish message: the MTA went away"));
    await this.#drop();
  }

  get #log(): Log {
    return this.#queueId === "" ? this.#options.log : this.#options.log.child({ queue_id: this.#queueId });
  }

  #checkEnvelope(): void {
    const { recipients, envelopeBytes } = this.#options.limits;
    if (this.recipients.length > recipients || this.#envelopeBytes > envelopeBytes) {
      this.#failure ??= new MairustError("too_many", "Cannot take message: too many recipients", {
        publicText: "too many recipients",
      });
    }
  }

  #takeOut(name: string, value: Buffer): Promise<void> | undefined {
    if (this.#reserved.length >= this.#options.limits.reservedFields || !isFieldName(name)) {
      const error = new MairustError(
        "data_invalid",
        "Cannot take message: its X-MaiRust fields cannot be removed",
        {
          publicText: "too many X-MaiRust fields, or malformed ones",
        },
      );
      return this.#fail(error);
    }
    this.#reserved.push([name, value.toString("latin1", 0, VALUE_CHARS)]);
    return undefined;
  }

  #keepHeader(...parts: readonly Buffer[]): Promise<void> | undefined {
    if (this.#failure !== undefined) return undefined;
    for (const part of parts) {
      this.#header.push(part);
      this.#headerBytes += part.length;
    }
    return this.#headerBytes >= HEADER_CHUNK_BYTES ? this.#flushHeader() : undefined;
  }

  #flushHeader(): Promise<void> | undefined {
    const bytes = Buffer.concat(this.#header, this.#headerBytes);
    this.#header = [];
    this.#headerBytes = 0;
    return bytes.length === 0 ? undefined : this.#write(bytes);
  }

  #write(bytes: Buffer): Promise<void> | undefined {
    if (this.#failure !== undefined || this.#message === undefined) return undefined;
    try {
      const wait = this.#message.write(bytes);
      return wait?.catch((error: unknown) => this.#fail(toMairustError(error, "write message")));
    } catch (error) {
      return this.#fail(toMairustError(error, "write message"));
    }
  }

  async #decide(): Promise<MilterDecision> {
    const message = this.#message;
    if (message === undefined)
      throw new MairustError("invalid_state", "Cannot decide: the message was not opened");
    const { chainTimeoutMs, limits } = this.#options;
    const chain = deadlineAfter(chainTimeoutMs, this.#gone.signal);
    // The decider answers by the chain's deadline; the second is for one that does not.
    const last = deadlineAfter(chainTimeoutMs + limits.finishGraceMs, this.#gone.signal);
    try {
      return await within(message.decide([...this.#reserved], chain), last);
    } finally {
      chain.dispose();
      last.dispose();
    }
  }

  #encode(decision: MilterDecision, id: string): TransactionEnd {
    switch (decision.kind) {
      case "accept": {
        const edits = [...removalEdits(this.#reserved), ...decision.edits];
        const packets = encodeEdits(edits, this.agreed, this.#options.limits);
        return {
          packets: Buffer.concat([packets, encodeResponse({ kind: "continue" })]),
          result: "accepted",
        };
      }
      case "refuse": {
        const text = renderReply(decision, id);
        const packets = encodeResponse({ kind: "reply_code", text });
        return { packets, result: text.startsWith("5") ? "refused" : "deferred" };
      }
      case "discard":
        return { packets: encodeResponse({ kind: "discard" }), result: "discarded" };
      default:
        // Not `assertNever`: what a decider gives is not known to keep its type.
        throw new MairustError("internal", "Cannot use decision: its kind is unknown");
    }
  }

  /** From here on the rest is read and dropped. */
  #fail(error: MairustError): Promise<void> {
    this.#failure ??= error;
    this.#header = [];
    this.#headerBytes = 0;
    return this.#drop();
  }

  async #drop(): Promise<void> {
    const message = this.#message;
    this.#message = undefined;
    try {
      await message?.abort();
    } catch (error) {
      this.#log.error("milter.abort_failed", { reason: messageOf(error) });
    }
  }
}

function sizeOf(args: readonly string[]): number {
  // One more for each: a million empty arguments are no small thing.
  return args.reduce((sum, arg) => sum + arg.length + 1, 0);
}

/** Lines of a folded field come parted by LF alone, and are CRLF in the message. */
function withCrlf(value: Buffer): Buffer {
  if (!value.includes(0x0a)) return value;
  return Buffer.from(value.toString("latin1").replace(/\r?\n/gu, "\r\n"), "latin1");
}
