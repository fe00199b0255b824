/**
 * One milter connection as a state machine over packets; it knows no socket. First step of the message path.
 *
 *   state       OPTNEG  CONNECT    HELO       MAIL  RCPT  DATA  HEADER  EOH   BODY  EOM           ABORT      UNKNOWN
 *   fresh       idle    –          –          –     –     –     –       –     –     –             –          –
 *   idle        –       connected  –          –     –     –     –       –     –     –             idle       –
 *   connected   –       connected  connected  rcpt  –     –     –       –     –     –             connected  connected
 *   rcpt        –       connected  connected  rcpt  rcpt  data  header  body  body  deciding      connected  rcpt
 *   data        –       connected  connected  rcpt  –     –     header  body  body  deciding      connected  data
 *   header      –       connected  connected  rcpt  –     –     header  body  body  deciding      connected  header
 *   body        –       connected  connected  rcpt  –     –     –       –     body  deciding      connected  body
 *   deciding    (no packet is looked at until the answer is out; then connected)
 *   closed      (nothing)
 *
 * "–": wrong order, the connection is closed. Content needs a recipient. CONNECT, HELO and MAIL give an open message up: Postfix
 * says HELO before ABORT. QUIT is allowed everywhere; QUIT_NC leads to `fresh`, but CONNECT may follow without OPTNEG. Macros may
 * come in every state but `fresh`.
 *
 * One connection carries all messages of one SMTP client; nothing of one reaches the next but what CONNECT and HELO told.
 * Draining: a message that is under way is answered, then the connection is closed; without one it is closed at once.
 *
 * Sources: sendmail libmilter/engine.c (state table); Postfix src/milter/milter8.c; mail-path.md §1
 */
import { toMairustError } from "../../core/errors.ts";
import type { Direction } from "../../core/ports/milter.ts";
import { every } from "../../platform/deadline.ts";
import { type Command, type CommandOf, decodeCommand } from "./codec.ts";
import type { OutboundRules } from "./direction.ts";
import { buildEnvelope, type Client, Macros } from "./envelope.ts";
import { type Negotiated, negotiate, type SocketKind } from "./negotiation.ts";
import { type MilterFault, MilterProtocolError } from "./protocol-error.ts";
import { encodeResponse } from "./responses.ts";
import * as s from "./symbols.ts";
import { type MilterResult, Transaction, type TransactionOptions } from "./transaction.ts";

/** What a session does to its connection. */
export interface MilterSessionPort {
  /** One call, one write. */
  write(packets: Buffer): void;
  /** Write what was given, then close. */
  close(): void;
}

/** What is counted; names follow `mairust_milter_…`. */
export interface MilterMetrics {
  /** A message was decided about, or given up by the MTA. */
  message(result: MilterResult, direction: Direction): void;
  /** @param seconds  from the end of the message to the answer */
  duration(seconds: number): void;
  protocolError(fault: MilterFault): void;
  /** How many connections are open now. */
  connections(open: number): void;
}

export interface SessionOptions extends TransactionOptions {
  readonly outbound: OutboundRules;
  readonly metrics: MilterMetrics;
}

type State = "fresh" | "idle" | "connected" | "rcpt" | "data" | "header" | "body" | "deciding" | "closed";

const CONTINUE = encodeResponse({ kind: "continue" });
const SKIP = encodeResponse({ kind: "skip" });
const PROGRESS = encodeResponse({ kind: "progress" });
const NOBODY: Client = { connect: undefined, helo: undefined };
const CONTENT: readonly State[] = ["rcpt", "data", "header"];

export class MilterSession {
  readonly #port: MilterSessionPort;
  readonly #socket: SocketKind;
  readonly #options: SessionOptions;
  readonly #macros = new Macros();
  #state: State = "fresh";
  #agreed: Negotiated | undefined;
  #client: Client = NOBODY;
  #transaction: Transaction | undefined;
  #draining = false;

  constructor(port: MilterSessionPort, socket: SocketKind, options: SessionOptions) {
    this.#port = port;
    this.#socket = socket;
    this.#options = options;
  }

  /** The MTA waits for a decision, so its silence is no idling. */
  get busy(): boolean {
    return this.#state === "deciding";
  }

  get closed(): boolean {
    return this.#state === "closed";
  }

  /**
   * @param packet  octets after the length
   * @returns       a promise that holds further packets back; it never rejects
   */
  receive(packet: Buffer): Promise<void> | undefined {
    if (this.#state === "closed") return undefined;
    try {
      return this.#handle(decodeCommand(packet))?.catch((error: unknown) => this.fail(error));
    } catch (error) {
      this.fail(error);
      return undefined;
    }
  }

  /** The connection cannot go on: what the MTA sent is wrong. Counted. */
  fail(error: unknown): void {
    if (this.#state === "closed") return;
    const { log, metrics } = this.#options;
    if (error instanceof MilterProtocolError) {
      metrics.protocolError(error.fault);
      log.warn("milter.protocol", { fault: error.fault, state: this.#state, error });
    } else {
      log.error("milter.session", { error: toMairustError(error, "serve MTA") });
    }
    this.#close();
  }

  /** Answer a message that is under way; otherwise the connection ends now. */
  drain(): void {
    this.#draining = true;
    this.#closeWhenDrained();
  }

  /** The connection is gone. */
  gone(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#giveUp();
  }

  #handle(command: Command): Promise<void> | undefined {
    if (command.kind === "quit") return this.#close();
    if (command.kind === "optneg") return this.#negotiate(command);
    const agreed = this.#agreed;
    if (agreed === undefined) throw this.#wrong(command);
    switch (command.kind) {
      case "macro":
        this.#macros.set(command);
        return undefined;
      case "connect":
        this.#endMessage("connected");
        this.#client = { connect: command, helo: undefined };
        return this.#answer(s.SMFIP_NR_CONN);
      case "helo":
        this.#allow(command, this.#isConnected);
        this.#endMessage("connected");
        this.#client = { ...this.#client, helo: command.name };
        return this.#answer(s.SMFIP_NR_HELO);
      case "mail":
        this.#allow(command, this.#isConnected);
        this.#giveUp();
        this.#macros.beginMessage();
        this.#transaction = new Transaction(command.args, agreed, this.#options);
        this.#state = "rcpt";
        return this.#answer(s.SMFIP_NR_MAIL);
      case "abort":
        return this.#endMessage(this.#isConnected ? "connected" : this.#state);
      case "quit_nc":
        this.#endMessage("fresh");
        this.#client = NOBODY;
        this.#macros.clear();
        return undefined;
      case "unknown":
        this.#allow(command, this.#isConnected);
        return this.#answer(s.SMFIP_NR_UNKN);
      default:
        return this.#handleMessage(command, this.#transaction ?? this.#noMessage(command));
    }
  }

  #handleMessage(
    command: CommandOf<"rcpt" | "data" | "header" | "eoh" | "body" | "eom">,
    transaction: Transaction,
  ): Promise<void> | undefined {
    switch (command.kind) {
      case "rcpt":
        this.#allow(command, this.#state === "rcpt");
        transaction.addRecipient(command.args);
        return this.#answer(s.SMFIP_NR_RCPT);
      case "data":
        this.#allow(command, this.#state === "rcpt" && transaction.hasRecipients);
        this.#state = "data";
        return this.#answer(s.SMFIP_NR_DATA);
      case "header":
        this.#allow(command, CONTENT.includes(this.#state));
        this.#beginContent(command, transaction);
        this.#state = "header";
        return this.#answerAfter(transaction.header(command.name, command.value), s.SMFIP_NR_HDR);
      case "eoh":
        this.#allow(command, CONTENT.includes(this.#state));
        return this.#answerAfter(this.#beginBody(command, transaction), s.SMFIP_NR_EOH);
      case "body":
        return this.#body(command, transaction);
      case "eom":
        return this.#endOfMessage(command, transaction);
    }
  }

  #negotiate(command: CommandOf<"optneg">): undefined {
    this.#allow(command, this.#state === "fresh");
    const agreed = negotiate(command, this.#options.decider.needs(), this.#socket);
    this.#agreed = agreed;
    this.#state = "idle";
    this.#port.write(encodeResponse({ kind: "optneg", ...agreed }));
  }

  #beginContent(command: Command, transaction: Transaction): void {
    if (this.#state !== "rcpt" && this.#state !== "data") return;
    this.#allow(command, transaction.hasRecipients);
    transaction.open(
      buildEnvelope({
        client: this.#client,
        macros: this.#macros,
        mailArgs: transaction.mailArgs,
        recipients: transaction.recipients,
        rules: this.#options.outbound,
        agreed: transaction.agreed,
      }),
    );
  }

  /** The header's end, told or not: nobody tells it when no field was asked for. */
  #beginBody(command: Command, transaction: Transaction): Promise<void> | undefined {
    if (this.#state === "body") return undefined;
    this.#beginContent(command, transaction);
    this.#state = "body";
    return transaction.endHeader();
  }

  async #body(command: CommandOf<"body">, transaction: Transaction): Promise<void> {
    await this.#beginBody(command, transaction);
    await transaction.body(command.bytes);
    const canSkip = (this.#steps & (s.SMFIP_SKIP | s.SMFIP_NR_BODY)) === s.SMFIP_SKIP;
    if (canSkip && transaction.full) this.#write(SKIP);
    else this.#answer(s.SMFIP_NR_BODY);
  }

  async #endOfMessage(command: CommandOf<"eom">, transaction: Transaction): Promise<void> {
    await this.#beginBody(command, transaction);
    await transaction.body(command.bytes);
    if (this.closed) return;
    this.#state = "deciding";
    const startedAt = performance.now();
    const { limits, metrics } = this.#options;
    const stopProgress = every(limits.progressMs, () => this.#write(PROGRESS));
    const { packets, result } = await transaction.end();
    stopProgress();
    this.#transaction = undefined;
    this.#macros.endMessage();
    metrics.message(result, transaction.direction);
    if (this.closed) return;
    metrics.duration((performance.now() - startedAt) / 1000);
    this.#state = "connected";
    this.#write(packets);
    this.#closeWhenDrained();
  }

  get #isConnected(): boolean {
    return this.#client.connect !== undefined;
  }

  get #steps(): number {
    return this.#agreed?.steps ?? 0;
  }

  #answer(noReply: number): undefined {
    if ((this.#steps & noReply) === 0) this.#write(CONTINUE);
  }

  #answerAfter(wait: Promise<void> | undefined, noReply: number): Promise<void> | undefined {
    return wait === undefined ? this.#answer(noReply) : wait.then(() => this.#answer(noReply));
  }

  #write(packets: Buffer): void {
    if (!this.closed) this.#port.write(packets);
  }

  /** The message is over without an answer. */
  #endMessage(next: State): undefined {
    this.#giveUp();
    this.#macros.endMessage();
    this.#state = next;
    this.#closeWhenDrained();
  }

  #giveUp(): void {
    const transaction = this.#transaction;
    if (transaction === undefined) return;
    this.#transaction = undefined;
    // While a decision is awaited it is counted there.
    if (transaction.isOpen) this.#options.metrics.message("aborted", transaction.direction);
    void transaction.abort();
  }

  #allow(command: Command, isAllowed: boolean): void {
    if (!isAllowed) throw this.#wrong(command);
  }

  #noMessage(command: Command): never {
    throw this.#wrong(command);
  }

  #wrong(command: Command): MilterProtocolError {
    return new MilterProtocolError(
      "order",
      `Cannot take command "${command.kind}": the state is "${this.#state}"`,
    );
  }

  #closeWhenDrained(): undefined {
    if (this.#draining && this.#transaction === undefined) this.#close();
  }

  #close(): undefined {
    if (this.#state === "closed") return;
    this.gone();
    this.#port.close();
  }
}
