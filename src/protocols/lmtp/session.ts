/**
 * One LMTP connection as a state machine over commands; it knows neither socket nor library.
 * Step 6 of the message path: commands → envelope → intake → replies in order.
 *
 *   state      LHLO    XFORWARD  MAIL   RCPT            DATA                       RSET
 *   idle       idle    idle      mail   503             503                        idle
 *   mail       idle    503       503    mail            content, or 503/4xx: idle  idle
 *   content    (no commands; the final dot leads to `idle` after the replies)
 *   closed     (nothing)
 *
 * XFORWARD facts live until the transaction ends (replies, RSET, LHLO): Postfix leaves IDENT out for local mail on a
 * reused connection, and it must not inherit the queue id before.
 * Recipients are our own list in RCPT order with all doubles: Postfix counts replies, not addresses.
 * Draining: message content that is under way is taken and answered, then the connection is closed with 421; in any other state it
 * is closed at once, since nothing has been promised before 354.
 *
 * Sources: RFC 2033; RFC 5321 §4.1.4; RFC 2920; RFC 3461; Postfix src/smtpd/smtpd.c (mail_reset clears XFORWARD)
 */
import type { ClientFacts, Envelope, EnvelopeRecipient } from "../../core/envelope.ts";
import { MairustError, toMairustError } from "../../core/errors.ts";
import type { ResolvedRecipient } from "../../core/ports/directory.ts";
import type { MessageIntake } from "../../core/ports/intake.ts";
import type { Log } from "../../core/ports/log.ts";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import { type CommandRules, type MailCommand, type Parsed, parseMail, parseRcpt } from "./commands.ts";
import type { LineFault } from "./input.ts";
import type { LmtpLimits } from "./limits.ts";
import * as replies from "./reply.ts";
import { type RecipientResult, Transfer, type TransferOptions } from "./transfer.ts";
import { parseXforward, XFORWARD_CAPABILITY } from "./xforward.ts";

/** What a session does to its connection. */
export interface SessionPort {
  reply(reply: replies.Reply): void;
  /** Already rendered lines. */
  replyText(text: string): void;
  /** Write what was replied, then close. */
  close(): void;
}

/** What is counted; names follow `mairust_lmtp_…` of operations.md §3. */
export interface LmtpMetrics {
  /** One accepted recipient was answered after DATA, or its message was dropped with the peer. */
  recipient(result: RecipientResult): void;
  /** @param seconds  from the final dot to the replies */
  duration(seconds: number): void;
  /** How many connections are open now. */
  connections(open: number): void;
}

export interface SessionOptions extends TransferOptions {
  readonly hostname: string;
  /** Announce DSN and take its parameters: the duty to send notices then is ours (RFC 3461 §5.2). */
  readonly dsn: boolean;
  readonly limits: LmtpLimits;
  readonly intake: MessageIntake;
  readonly log: Log;
  readonly metrics: LmtpMetrics;
}

export interface SessionPeer {
  /** Address or "unix". */
  readonly name: string;
  /** May send XFORWARD. */
  readonly trusted: boolean;
}

interface OpenTransaction {
  readonly mail: MailCommand;
  readonly recipients: EnvelopeRecipient[];
  readonly resolved: ResolvedRecipient[];
}

const NO_FACTS: ClientFacts = {};

export class LmtpSession {
  readonly #port: SessionPort;
  readonly #options: SessionOptions;
  readonly #peer: SessionPeer;
  readonly #rules: CommandRules;
  #helo = "";
  #client: ClientFacts = NO_FACTS;
  #transaction: OpenTransaction | undefined;
  #transfer: Transfer | undefined;
  /** Waits of ours that the peer waits for: recipient checks, writes, outcomes. */
  #pending = 0;
  #errors = 0;
  #draining = false;
  /** The last reply is out. Input that was pipelined behind it is not handed over any more (`input.ts`). */
  #left = false;
  #closed = false;

  constructor(port: SessionPort, peer: SessionPeer, options: SessionOptions) {
    this.#port = port;
    this.#peer = peer;
    this.#options = options;
    this.#rules = { addressBytes: options.limits.addressBytes, dsn: options.dsn };
  }

  /** The peer waits for us, so its silence is no idling. */
  get busy(): boolean {
    return this.#pending > 0;
  }

  // ---------------------------------------------------------------- commands

  /**
   * @param line      `LHLO name`
   * @param starttls  whether to announce STARTTLS
   * @returns         the name, or undefined when it was refused
   */
  lhlo(line: Buffer, starttls: boolean): string | undefined {
    const words = line
      .toString("latin1")
      .trim()
      .split(/[ \t]+/u);
    const name = words[1];
    if (name === undefined || words.length !== 2 || !/^[\x21-\x7e]{1,255}$/u.test(name)) {
      this.#syntaxError(replies.BAD_LHLO);
      return undefined;
    }
    this.reset();
    this.#helo = name;
    const lines = [
      this.#options.hostname,
      "PIPELINING",
      "8BITMIME",
      "SMTPUTF8",
      "ENHANCEDSTATUSCODES",
      `SIZE ${this.#options.messageBytes}`,
      ...(this.#options.dsn ? ["DSN"] : []),
      ...(this.#peer.trusted ? [XFORWARD_CAPABILITY] : []),
      ...(starttls ? ["STARTTLS"] : []),
    ];
    this.#port.replyText(
      lines.map((text, i) => `250${i < lines.length - 1 ? "-" : " "}${text}\r\n`).join(""),
    );
    return name;
  }

  xforward(line: Buffer): void {
    if (!this.#peer.trusted) {
      this.#port.reply({ code: 550, enhanced: "5.7.0", text: "not permitted" });
      return;
    }
    if (this.#transaction !== undefined) {
      this.#port.reply(replies.NESTED_MAIL);
      return;
    }
    const parsed = parseXforward(line, this.#client);
    if (parsed.kind === "bad") {
      this.#syntaxError(parsed.reply);
      return;
    }
    this.#client = parsed.value;
    this.#port.reply(replies.OK);
  }

  mail(line: Buffer): void {
    if (this.#transaction !== undefined) {
      this.#port.reply(replies.NESTED_MAIL);
      return;
    }
    const parsed: Parsed<MailCommand> = parseMail(line, this.#rules);
    if (parsed.kind === "bad") {
      this.#syntaxError(parsed.reply);
      return;
    }
    const { declaredSizeBytes } = parsed.value;
    if (declaredSizeBytes !== undefined && declaredSizeBytes > this.#options.messageBytes) {
      const error = new MairustError(
        "message_too_large",
        `Cannot take message: declared size is "${declaredSizeBytes}"`,
      );
      this.#port.reply(replies.errorReply(error));
      return;
    }
    this.#transaction = { mail: parsed.value, recipients: [], resolved: [] };
    this.#port.reply(replies.ACCEPTED_SENDER);
  }

  /** Never rejects. */
  async rcpt(line: Buffer): Promise<void> {
    const transaction = this.#transaction;
    if (transaction === undefined) {
      this.#port.reply(replies.NEED_MAIL);
      return;
    }
    const parsed = parseRcpt(line, this.#rules);
    if (parsed.kind === "bad") {
      this.#syntaxError(parsed.reply);
      return;
    }
    if (transaction.recipients.length >= this.#options.limits.recipients) {
      return this.#port.reply(replies.TOO_MANY_RECIPIENTS);
    }
    this.#pending += 1;
    try {
      const resolved = await this.#checked(parsed.value, transaction);
      transaction.recipients.push(parsed.value);
      transaction.resolved.push(resolved);
      this.#port.reply(replies.ACCEPTED_RECIPIENT);
    } catch (error) {
      this.#refuseRecipient(parsed.value, toMairustError(error, "check recipient"));
    } finally {
      this.#pending -= 1;
    }
  }

  /** @returns true when message content follows */
  data(line: Buffer): boolean {
    if (line.toString("latin1").trim().length !== 4) {
      this.#syntaxError({ code: 501, enhanced: "5.5.4", text: "syntax: DATA" });
      return false;
    }
    const transaction = this.#transaction;
    if (transaction === undefined || transaction.recipients.length === 0) {
      this.#port.reply(transaction === undefined ? replies.NEED_MAIL : replies.NO_VALID_RECIPIENTS);
      return false;
    }
    try {
      const stream = this.#options.intake.open(this.#envelope(transaction), transaction.resolved);
      this.#transfer = new Transfer(stream, transaction.recipients.length, this.#options, this.#options.log);
    } catch (cause) {
      // Before 354 there is one reply, to DATA itself: no recipient has been promised an answer yet (RFC 2033 §4.2).
      const error = toMairustError(cause, "open message");
      this.#options.log.warn("lmtp.data_refused", {
        queue_id: this.#client.ident ?? "",
        code: error.code,
        error,
      });
      this.#endTransaction();
      this.#replyOrLeave(replies.errorReply(error));
      return false;
    }
    this.#port.reply(replies.START_MAIL_INPUT);
    return true;
  }

  rset(): void {
    this.reset();
    this.#port.reply(replies.OK);
  }

  faultyLine(fault: LineFault): void {
    this.#syntaxError(fault === "too_long" ? replies.LINE_TOO_LONG : replies.BARE_LF);
  }

  // ---------------------------------------------------------------- content

  /** A returned promise holds the input back; it never rejects. */
  content(bytes: Uint8Array): Promise<void> | undefined {
    const transfer = this.#transfer;
    if (transfer === undefined) return undefined;
    if (transfer.overtime) {
      this.#leave(replies.UPLOAD_TOO_LONG);
      return undefined;
    }
    const wait = transfer.write(bytes);
    if (wait === undefined) return undefined;
    this.#pending += 1;
    return wait.finally(() => {
      this.#pending -= 1;
    });
  }

  /** The final dot is in: reply for each recipient. Never rejects. */
  async contentEnd(): Promise<void> {
    const transfer = this.#transfer;
    if (transfer === undefined) return;
    const startedAt = performance.now();
    this.#pending += 1;
    const { replies: lines, results } = await transfer.finish();
    this.#pending -= 1;
    this.#transfer = undefined;
    this.#options.metrics.duration((performance.now() - startedAt) / 1000);
    for (const result of results) this.#options.metrics.recipient(result);
    // One string, one write: the replies of a transaction are never torn apart by a close.
    this.#port.replyText(lines.map(replies.renderReply).join(""));
    this.#errors = 0;
    this.#endTransaction();
    if (this.#draining) this.#leave(replies.DRAINING);
  }

  // ---------------------------------------------------------------- life

  /** RSET, LHLO and a fresh TLS session: forget the transaction and the client. */
  reset(): void {
    this.#endTransaction();
  }

  /** Finish message content that is under way; otherwise the connection ends now. RFC 5321 §3.8 allows an unasked 421. */
  drain(): void {
    if (this.#closed || this.#draining) return;
    this.#draining = true;
    if (this.#transfer === undefined) this.#leave(replies.DRAINING);
  }

  /** The connection is gone. A message without its final dot is dropped; one with it is finished. */
  gone(): void {
    if (this.#closed) return;
    this.#closed = true;
    const recipients = this.#transaction?.recipients.length ?? 0;
    void this.#transfer?.abort().then(dropped => {
      for (let i = 0; dropped && i < recipients; i += 1) this.#options.metrics.recipient("aborted");
    });
  }

  #envelope(transaction: OpenTransaction): Envelope {
    const { mail, recipients } = transaction;
    return {
      mailFrom: mail.from,
      recipients,
      client: this.#client,
      peer: this.#peer.name,
      peerHelo: this.#helo,
      dsn: {
        ...(mail.ret === undefined ? {} : { ret: mail.ret }),
        ...(mail.envid === undefined ? {} : { envid: mail.envid }),
      },
      ...(mail.declaredSizeBytes === undefined ? {} : { declaredSizeBytes: mail.declaredSizeBytes }),
      body8bit: mail.body8bit,
      smtpUtf8: mail.smtpUtf8,
    };
  }

  #endTransaction(): void {
    this.#transaction = undefined;
    this.#client = NO_FACTS;
  }

  async #checked(recipient: EnvelopeRecipient, { mail }: OpenTransaction): Promise<ResolvedRecipient> {
    const { intake, limits } = this.#options;
    const deadline = deadlineAfter(limits.recipientCheckMs);
    try {
      return await within(intake.checkRecipient(recipient, mail.from), deadline);
    } finally {
      deadline.dispose();
    }
  }

  #refuseRecipient(recipient: EnvelopeRecipient, error: MairustError): void {
    const reply = replies.errorReply(error);
    this.#options.log.info("lmtp.rcpt_refused", {
      queue_id: this.#client.ident ?? "",
      to: recipient.address.raw,
      code: error.code,
      reply: `${reply.code} ${reply.enhanced}`,
      ...(error.code === "internal" ? { error } : {}),
    });
    this.#replyOrLeave(reply);
  }

  #syntaxError(reply: replies.Reply): void {
    this.#errors += 1;
    if (this.#errors > this.#options.limits.protocolErrors) {
      this.#leave(replies.TOO_MANY_ERRORS);
      return;
    }
    this.#port.reply(reply);
  }

  /** A 421 promises that the connection ends (RFC 5321 §3.8). */
  #replyOrLeave(reply: replies.Reply): void {
    if (reply.code === 421) this.#leave(reply);
    else this.#port.reply(reply);
  }

  #leave(reply: replies.Reply): void {
    if (this.#closed || this.#left) return;
    this.#left = true;
    this.#port.reply(reply);
    this.#port.close();
  }
}
