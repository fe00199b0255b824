/**
 * One socket between the listener and its session: octets in, packets one after the other, answers out.
 *
 * While a packet is worked on, one more read is taken in and the socket then rests; it is not stopped before, or it would not be
 * seen that the MTA went away while a decision is awaited. An MTA that does not read its answers is not read from either.
 */
import type { Socket } from "node:net";
import type { Log } from "../../core/ports/log.ts";
import { PacketReader } from "./framing.ts";
import { OUTPUT_BUFFER_BYTES } from "./limits.ts";
import type { SocketKind } from "./negotiation.ts";
import type { MilterSession, MilterSessionPort } from "./session.ts";

export interface ConnectionOptions {
  readonly packetBytes: number;
  readonly idleMs: number;
  readonly lingerMs: number;
  readonly log: Log;
  readonly onClosed: () => void;
  readonly createSession: (port: MilterSessionPort, kind: SocketKind) => MilterSession;
}

export class MilterConnection {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions;
  readonly #reader: PacketReader;
  readonly #session: MilterSession;
  /** Came in while a packet was worked on. */
  #next: Buffer | undefined;
  #working = false;

  constructor(socket: Socket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#reader = new PacketReader(options.packetBytes);
    const port = { write: (packets: Buffer) => this.#write(packets), close: () => this.#close() };
    // A socket that has no address on either side is a UNIX socket; a TCP peer that is gone still has its own side's.
    const kind = socket.remoteAddress === undefined && socket.localAddress === undefined ? "unix" : "tcp";
    this.#session = options.createSession(port, kind);
  }

  start(): void {
    const socket = this.#socket;
    socket.on("error", error => this.#options.log.debug("milter.socket", { reason: error.message }));
    socket.once("close", () => {
      this.#session.gone();
      this.#options.onClosed();
    });
    // An MTA that ends its side waits for nothing any more.
    socket.once("end", () => {
      this.#session.gone();
      socket.destroySoon();
    });
    socket.setTimeout(this.#options.idleMs, () => this.#idle());
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  drain(): void {
    this.#session.drain();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    if (!this.#working) {
      void this.#work(chunk);
      return;
    }
    this.#next = this.#next === undefined ? chunk : Buffer.concat([this.#next, chunk]);
    this.#socket.pause();
  }

  /** Never rejects: the session takes what goes wrong. */
  async #work(first: Buffer): Promise<void> {
    this.#working = true;
    for (let chunk: Buffer | undefined = first; chunk !== undefined; chunk = this.#take()) {
      this.#reader.push(chunk);
      for (let packet = this.#packet(); packet !== undefined; packet = this.#packet()) {
        const wait = this.#session.receive(packet);
        if (wait !== undefined) await wait;
        if (this.#socket.writableLength > OUTPUT_BUFFER_BYTES) await this.#written();
      }
    }
    this.#working = false;
  }

  #take(): Buffer | undefined {
    const chunk = this.#next;
    this.#next = undefined;
    if (chunk !== undefined) this.#socket.resume();
    return chunk;
  }

  #packet(): Buffer | undefined {
    if (this.#session.closed) return undefined;
    try {
      return this.#reader.next();
    } catch (error) {
      this.#session.fail(error);
      return undefined;
    }
  }

  #write(packets: Buffer): void {
    if (this.#socket.writable) this.#socket.write(packets);
  }

  #close(): void {
    this.#socket.setTimeout(this.#options.lingerMs);
    this.#socket.destroySoon();
  }

  #written(): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) return Promise.resolve();
    return new Promise(resolve => {
      const done = () => {
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.on("drain", done);
      socket.on("close", done);
    });
  }

  #idle(): void {
    if (this.#session.busy) return;
    this.#options.log.info("milter.idle", {});
    this.#socket.destroy();
  }
}
