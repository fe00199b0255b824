/**
 * One connection to a next hop (message path, step 7): greeting and LHLO once, then one transaction after the other.
 *
 *   MAIL, RCPT …   in one write where PIPELINING is offered
 *   content        BDAT … LAST where CHUNKING is offered, else DATA, dots doubled (`dot-stuffing.ts`)
 *   replies        one for each accepted RCPT, in order
 *
 * Until the octet that ends the content is sent the server cannot have taken the message; whatever goes wrong before is thrown. From
 * then on nothing is: who got no reply has none. A connection that did not come to the end of its dialogue is not used again.
 * Sources: RFC 2033 §4.2, RFC 2920, RFC 3030 §2, RFC 1652.
 */
import type { Deadline } from "../../core/deadline.ts";
import { MairustError } from "../../core/errors.ts";
import type { RelayMessage, RelayReply } from "../../core/ports/relay.ts";
import { deadlineAfter, within } from "../../platform/deadline.ts";
import { type Extensions, extensionsOf } from "../mail-commands.ts";
import { MailSocket, type ServerReply } from "../mail-socket.ts";
import { LineDots } from "./dot-stuffing.ts";
import { relayReply, transactionCommands } from "./lmtp-commands.ts";

/** How long the answer to a message's end is waited for, whatever the deadline says: given up, nobody knows who has the message. */
const ANSWER_MS = 60_000;

/** Octets of a message that are put together for one write. */
const WRITE_BYTES = 65_536;

type Replies = (RelayReply | undefined)[];

export class LmtpConnection {
  readonly #server: string;
  readonly #socket: MailSocket;
  #offered: Extensions = new Map();
  /** Its last dialogue came to its end. */
  #isClean = false;
  #isEndSent = false;
  greeting = "";

  constructor(server: string) {
    this.#server = server;
    this.#socket = new MailSocket(server);
  }

  /** May be used for another transaction, as far as one can see from here. */
  get isUsable(): boolean {
    return this.#isClean && !this.#socket.isStale;
  }

  /** The server may have the message of the last transaction. */
  get mayHaveTaken(): boolean {
    return this.#isEndSent;
  }

  /** @throws {MairustError} `store_unavailable`, `deadline`, and what the socket throws */
  async greet(deadline: Deadline): Promise<void> {
    this.greeting = lineOf(this.#accepted(await within(this.#socket.reply(), deadline), "greeting"));
  }

  /** @throws as `greet` */
  async open(hostname: string, deadline: Deadline): Promise<void> {
    await this.greet(deadline);
    await within(this.#socket.write(`LHLO ${hostname}\r\n`), deadline);
    const reply = this.#accepted(await within(this.#socket.reply(), deadline), "LHLO");
    this.#offered = extensionsOf(reply.lines.map(line => line.slice(4)));
    this.#isClean = true;
  }

  /**
   * @returns as `NextHops.deliver`
   * @throws until the message's end is sent: {MairustError} `store_unavailable`, `deadline`; what the socket and the content throw
   */
  async transact(message: RelayMessage, deadline: Deadline): Promise<readonly (RelayReply | undefined)[]> {
    this.#isClean = false;
    this.#isEndSent = false;
    try {
      const replies = await within(this.#envelope(message), deadline);
      const accepted = replies.flatMap((reply, i) => (reply === undefined ? [i] : []));
      if (accepted.length === 0) return await this.#withoutContent(replies, deadline);
      const isSent = await this.#sent(this.#content(message, replies, accepted), deadline);
      return isSent ? await this.#answers(replies, accepted) : replies;
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.close();
  }

  idle(isIdle: boolean): void {
    this.#socket.idle(isIdle);
  }

  /** A deadline that passes in the very moment in which the end goes out comes too late. */
  async #sent(content: Promise<boolean>, deadline: Deadline): Promise<boolean> {
    try {
      return await within(content, deadline);
    } catch (error) {
      if (this.#isEndSent) return true;
      throw error;
    }
  }

  /** @returns replies of those who were refused; undefined where RCPT was accepted */
  async #envelope(message: RelayMessage): Promise<Replies> {
    const commands = transactionCommands(message, this.#offered);
    const replies: ServerReply[] = [];
    if (this.#offered.has("PIPELINING")) {
      await this.#socket.write(commands.map(command => `${command}\r\n`).join(""));
      for (const _ of commands) replies.push(await this.#socket.reply());
    } else {
      for (const command of commands) {
        await this.#socket.write(`${command}\r\n`);
        replies.push(await this.#socket.reply());
      }
    }
    const rcpts = replies.splice(replies.length - message.recipients.length);
    // XFORWARD is a courtesy: who refuses it may still take mail.
    const mail = replies.at(-1);
    if (mail === undefined || mail.code < 200 || mail.code >= 300) {
      const refusal = this.#refusal(mail, "MAIL");
      return rcpts.map(() => refusal);
    }
    return rcpts.map(reply =>
      reply.code < 300 && reply.code >= 200 ? undefined : this.#refusal(reply, "RCPT"),
    );
  }

  /** Everybody was refused: the connection is left as it was found. */
  async #withoutContent(replies: Replies, deadline: Deadline): Promise<Replies> {
    await within(this.#socket.write("RSET\r\n"), deadline);
    const { code } = await within(this.#socket.reply(), deadline);
    this.#isClean = code === 250;
    return replies;
  }

  /** @returns false: refused at DATA, which is then in `replies` */
  async #content(message: RelayMessage, replies: Replies, accepted: readonly number[]): Promise<boolean> {
    if (this.#offered.has("CHUNKING")) {
      await this.#send(message, this.#chunked(message));
      return true;
    }
    await this.#socket.write("DATA\r\n");
    const reply = await this.#socket.reply();
    if (reply.code === 354) {
      await this.#send(message, this.#dotted(message));
      return true;
    }
    const refusal = this.#refusal(reply, "DATA");
    for (const place of accepted) replies[place] = refusal;
    await this.#socket.write("RSET\r\n");
    this.#isClean = (await this.#socket.reply()).code === 250;
    return false;
  }

  async *#chunked(message: RelayMessage): AsyncGenerator<Uint8Array> {
    const { top, sizeBytes } = message;
    yield Buffer.from(`BDAT ${top.length + sizeBytes} LAST\r\n`, "latin1");
    yield top;
    let left = sizeBytes;
    for await (const piece of message.content()) {
      left -= piece.length;
      yield piece;
    }
    if (left !== 0)
      throw new MairustError(
        "internal",
        `Cannot relay to "${this.#server}": ${left} bytes less than announced`,
      );
  }

  async *#dotted(message: RelayMessage): AsyncGenerator<Uint8Array> {
    const dots = new LineDots();
    yield dots.chunk(message.top);
    for await (const piece of message.content()) yield dots.chunk(piece);
    yield dots.end();
  }

  /** Small pieces go out as one write: each wakes the server. The last of it is held back until all is known to be there. */
  async #send(message: RelayMessage, pieces: AsyncIterable<Uint8Array>): Promise<void> {
    let held: Uint8Array[] = [];
    let heldBytes = 0;
    for await (const piece of pieces) {
      if (heldBytes > 0 && heldBytes + piece.length > WRITE_BYTES) {
        await this.#socket.write(joined(held));
        held = [];
        heldBytes = 0;
      }
      if (piece.length > 0) held.push(piece);
      heldBytes += piece.length;
    }
    await this.#sendEnd(message, joined(held));
  }

  async #sendEnd(message: RelayMessage, bytes: Uint8Array): Promise<void> {
    if (this.#socket.isClosed) throw this.#unusable("the connection was closed");
    message.onEnd?.();
    this.#isEndSent = true;
    // What goes wrong from here on is seen where the answers are waited for.
    await this.#socket.write(bytes).catch(() => undefined);
    message.onSent?.();
  }

  /** Never rejects: those without an answer stay undefined. */
  async #answers(replies: Replies, accepted: readonly number[]): Promise<Replies> {
    const deadline = deadlineAfter(ANSWER_MS);
    try {
      for (const place of accepted) {
        const reply = this.#refusal(await within(this.#socket.reply(), deadline), "data");
        replies[place] = this.#offered.has("DSN") ? { ...reply, passesDsn: true } : reply;
      }
      this.#isClean = true;
      this.#isEndSent = false;
    } catch {
      this.#socket.close();
    } finally {
      deadline.dispose();
    }
    return replies;
  }

  #accepted(reply: ServerReply, what: string): ServerReply {
    if (reply.code >= 200 && reply.code < 300) return reply;
    throw this.#unusable(`${what} was answered "${lineOf(reply)}"`);
  }

  /** @throws {MairustError} `store_unavailable`: it closes, or it is no reply at all */
  #refusal(reply: ServerReply | undefined, what: string): RelayReply {
    const known = reply === undefined ? undefined : relayReply(reply);
    // 421 is about the connection, not about the recipient: after the content the message may have been taken. Dovecot 2.3 that is
    // reloaded saves it and says 421.
    const isOver = known?.code === 421;
    const isPositive = known !== undefined && known.code < 300 && what !== "data";
    if (known !== undefined && !isOver && !isPositive) return known;
    throw this.#unusable(`${what} was answered "${reply === undefined ? "" : lineOf(reply)}"`);
  }

  #unusable(reason: string): MairustError {
    this.#isClean = false;
    return new MairustError("store_unavailable", `Cannot relay to "${this.#server}": ${reason}`, {
      publicText: "the next hop does not take mail now",
    });
  }
}

const joined = (pieces: readonly Uint8Array[]) =>
  pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);

const lineOf = ({ lines }: ServerReply) => lines.join(" ");
