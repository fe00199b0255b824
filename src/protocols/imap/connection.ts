/**
 * One client connection: bytes in through the framer with back-pressure, bytes out through {@link Output}, and the clock of
 * its time-outs. Knows no commands. Ends by {@link Connection.end}, or goes on under TLS by {@link Connection.release}.
 */
import type { Socket } from "node:net";
import { CommandFramer } from "./framer.ts";
import { Latch } from "./latch.ts";
import type { ImapLimits } from "./limits.ts";
import { Output } from "./output.ts";

/** Octets of a line that is no command: `DONE`, SASL answers. */
const RAW_LINE_BYTES = 16_384;
/** TCP keep-alive, so that a peer that vanished without a word is noticed. */
const KEEP_ALIVE_MS = 120_000;

export class Connection {
  readonly output: Output;
  readonly framer: CommandFramer;
  /** Raised by input, by the end of the connection, and by whoever has news for the session. */
  readonly latch = new Latch();
  readonly #socket: Socket;
  readonly #limits: ImapLimits;
  readonly #gone = new AbortController();
  #lastInput = performance.now();
  #inputEnded = false;
  #endedAt: number | undefined;
  #waiting = false;
  readonly #onData = (chunk: Buffer) => this.#received(chunk);
  readonly #onEnd = () => this.#endOfInput();
  readonly #onError = () => this.latch.raise();
  readonly #onClose = () => this.#closed();

  constructor(socket: Socket, limits: ImapLimits) {
    this.#socket = socket;
    this.#limits = limits;
    this.framer = new CommandFramer(limits.discardBytes);
    this.output = new Output(socket, limits.outputQueueBytes);
    // A client may close its sending side and still wait for answers.
    socket.allowHalfOpen = true;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    // What matters of an error is the close that follows it.
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
  }

  /** Aborts when the connection is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** The peer sends no more, or is gone. */
  get inputEnded(): boolean {
    return this.#inputEnded;
  }

  /** True while the session sleeps: then a quiet peer is what it waits for. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** Milliseconds since the peer sent something. */
  quietMs(now: number): number {
    return now - this.#lastInput;
  }

  /** True when the peer takes nothing for too long, or does not close after our last words. */
  overdue(now: number): boolean {
    const since = this.output.stalledSince;
    if (since !== undefined && now - since > this.#limits.stallTimeoutMs) return true;
    return this.#endedAt !== undefined && now - this.#endedAt > this.#limits.lingerMs;
  }

  /** A line that is no command. */
  nextLine(): Buffer | "overflow" | undefined {
    return this.framer.nextLine(RAW_LINE_BYTES);
  }

  /** Sleep until something happened. What is collected is sent first. */
  async wait(): Promise<void> {
    this.output.flush();
    this.#waiting = true;
    this.#socket.resume();
    await this.latch.wait();
    this.#waiting = false;
  }

  /** Send what is collected, then close when the peer did, or when it took too long. */
  end(): void {
    this.output.flush();
    const peerClosed = this.#inputEnded;
    this.#inputEnded = true;
    this.#endedAt = performance.now();
    // What the client still sends is read and dropped, or its unread octets would turn our last words into a reset.
    this.#socket.resume();
    this.#socket.end();
    if (peerClosed) this.#socket.destroySoon();
  }

  /**
   * Read no more, so that what comes from now on is for TLS.
   * @returns false when the peer sent something already: it came in the clear and must not be taken for protected
   */
  stopReading(): boolean {
    this.#socket.pause();
    this.#socket.off("data", this.#onData);
    return this.framer.buffered === 0 && this.#socket.readableLength === 0;
  }

  /** Send what is collected and give the socket to somebody else: this connection is over without being closed. */
  release(): Socket {
    this.output.release();
    this.#socket.off("data", this.#onData).off("end", this.#onEnd);
    this.#socket.off("error", this.#onError).off("close", this.#onClose);
    this.#closed();
    return this.#socket;
  }

  /** Close now. */
  destroy(): void {
    this.#socket.destroy();
    this.latch.raise();
  }

  #received(chunk: Buffer): void {
    if (this.#inputEnded) return;
    this.#lastInput = performance.now();
    this.framer.push(chunk);
    if (!this.#waiting && this.framer.buffered > this.#limits.inputQueueBytes) this.#socket.pause();
    this.latch.raise();
  }

  #endOfInput(): void {
    this.#inputEnded = true;
    if (this.#endedAt !== undefined) this.#socket.destroySoon();
    this.latch.raise();
  }

  #closed(): void {
    this.#inputEnded = true;
    this.#gone.abort();
    this.latch.raise();
  }
}
