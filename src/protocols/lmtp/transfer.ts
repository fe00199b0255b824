/**
 * One message from 354 to its replies: counts, hands the bytes to the intake, and always yields one reply per
 * accepted RCPT, whatever fails. Step 6 of the message path.
 *
 * What fails how: too large → the rest is read and dropped, 552 for each; a write fails → the same with its code;
 * the intake breaks its contract (rejects, hangs, wrong number of outcomes) → 451 for each, never a success for the
 * wrong recipient; the peer goes away before the final dot → abort; after it → the message is finished all the same,
 * and its redelivery is recognised.
 *
 * Sources: RFC 2033 §4.2; RFC 1870 §6.3; mail-path.md §2
 */
import { MairustError, messageOf, toMairustError } from "../../core/errors.ts";
import type { IntakeStream, RecipientOutcome } from "../../core/ports/intake.ts";
import type { Log } from "../../core/ports/log.ts";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import { outcomeReply, type Reply, recipientErrorReply } from "./reply.ts";

export interface TransferOptions {
  readonly messageBytes: number;
  readonly chainTimeoutMs: number;
  readonly finishGraceMs: number;
  readonly uploadMs: number;
}

/** How a message ended for one recipient, for metrics. */
export type RecipientResult =
  | "stored"
  | "relayed"
  | "duplicate"
  | "refused"
  | "deferred"
  | "too_large"
  | "aborted";

export interface TransferEnd {
  /** One per accepted RCPT, in their order. */
  readonly replies: readonly Reply[];
  /** As `replies`. */
  readonly results: readonly RecipientResult[];
}

export class Transfer {
  readonly #stream: IntakeStream;
  readonly #recipients: number;
  /** Taken at the start: a reload holds from the next message on. */
  readonly #options: TransferOptions;
  readonly #baseLog: Log;
  readonly #startedAt = performance.now();
  #bytes = 0;
  #failure: MairustError | undefined;
  #finishing = false;

  /** @param recipients  accepted RCPTs, doubles counted */
  constructor(stream: IntakeStream, recipients: number, options: TransferOptions, log: Log) {
    this.#stream = stream;
    this.#recipients = recipients;
    this.#options = {
      messageBytes: options.messageBytes,
      chainTimeoutMs: options.chainTimeoutMs,
      finishGraceMs: options.finishGraceMs,
      uploadMs: options.uploadMs,
    };
    this.#baseLog = log;
  }

  /** Asked for each line: without XFORWARD the queue id is known only once the message was read (from its Received field). */
  get #log(): Log {
    const { queueId } = this.#stream;
    return queueId === "" ? this.#baseLog : this.#baseLog.child({ queue_id: queueId });
  }

  /** True once the upload has taken longer than it may. */
  get overtime(): boolean {
    return performance.now() - this.#startedAt > this.#options.uploadMs;
  }

  /** Message bytes. A returned promise holds the socket back; it never rejects. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    this.#bytes += bytes.length;
    if (this.#failure !== undefined) return undefined;
    if (this.#bytes > this.#options.messageBytes) {
      return this.#fail(
        new MairustError(
          "message_too_large",
          `Cannot take message: size is over "${this.#options.messageBytes}"`,
        ),
      );
    }
    try {
      const wait = this.#stream.write(bytes);
      return wait?.catch((error: unknown) => this.#fail(toMairustError(error, "write message")));
    } catch (error) {
      return this.#fail(toMairustError(error, "write message"));
    }
  }

  /** The final dot is in. Never rejects. */
  async finish(): Promise<TransferEnd> {
    if (this.#failure !== undefined) return this.#failedEnd(this.#failure);
    this.#finishing = true;
    try {
      const outcomes = await this.#outcomes();
      const replies = outcomes.map(outcomeReply);
      return { replies, results: outcomes.map((outcome, i) => resultOf(outcome, replies[i])) };
    } catch (error) {
      return this.#failedEnd(toMairustError(error, "finish message"));
    }
  }

  /**
   * The peer went away: before the final dot everything is dropped, after it the message is finished all the same.
   * @returns whether the message was dropped; never rejects
   */
  async abort(): Promise<boolean> {
    if (this.#finishing) return false;
    this.#log.info("lmtp.aborted", { bytes: this.#bytes });
    if (this.#failure === undefined) {
      await this.#fail(new MairustError("internal", "Cannot finish message: the peer went away"));
    }
    return true;
  }

  async #outcomes(): Promise<readonly RecipientOutcome[]> {
    const { chainTimeoutMs, finishGraceMs } = this.#options;
    const chain = deadlineAfter(chainTimeoutMs);
    // The intake answers by the chain's deadline; the second is for one that does not.
    const last = deadlineAfter(chainTimeoutMs + finishGraceMs);
    try {
      const outcomes = await within(this.#stream.finish(chain), last);
      if (outcomes.length !== this.#recipients) {
        throw new MairustError(
          "internal",
          `Cannot answer recipients: outcomes are "${outcomes.length}", expected "${this.#recipients}"`,
        );
      }
      return outcomes;
    } finally {
      chain.dispose();
      last.dispose();
    }
  }

  #failedEnd(error: MairustError): TransferEnd {
    this.#log.warn("lmtp.failed", { code: error.code, error, bytes: this.#bytes });
    const reply = recipientErrorReply(error);
    const result =
      error.code === "message_too_large" ? "too_large" : reply.code < 500 ? "deferred" : "refused";
    return {
      replies: new Array<Reply>(this.#recipients).fill(reply),
      results: new Array<RecipientResult>(this.#recipients).fill(result),
    };
  }

  /** From here on the rest is read and dropped. */
  #fail(error: MairustError): Promise<void> {
    this.#failure ??= error;
    return this.#abortStream();
  }

  async #abortStream(): Promise<void> {
    try {
      await this.#stream.abort();
    } catch (error) {
      this.#log.error("lmtp.abort_failed", { reason: messageOf(error) });
    }
  }
}

function resultOf(outcome: RecipientOutcome, reply: Reply | undefined): RecipientResult {
  if (outcome.kind === "stored") return outcome.already ? "duplicate" : "stored";
  if (outcome.kind === "relayed_before") return "duplicate";
  if (outcome.kind === "relayed" && reply !== undefined && reply.code < 300) return "relayed";
  return reply !== undefined && reply.code >= 500 ? "refused" : "deferred";
}
