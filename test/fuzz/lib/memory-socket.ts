/**
 * A socket without a network, for fuzzing servers: both ends are streams in this process, so a dialogue costs microseconds
 * and leaves nothing behind. It has what our servers use of `net.Socket` besides the stream.
 */
import type { Socket } from "node:net";
import { Duplex } from "node:stream";

class MemorySocket extends Duplex {
  /** A loopback peer: trusted for XFORWARD, may log in without TLS. */
  readonly remoteAddress = "127.0.0.1";
  readonly remotePort = 4321;
  readonly localAddress = "127.0.0.1";
  readonly localPort = 25;
  readonly #said: Buffer[] = [];

  constructor() {
    super({ allowHalfOpen: true });
  }

  /** What the server wrote. */
  get said(): Buffer {
    return Buffer.concat(this.#said);
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once("finish", () => this.destroy());
  }

  override _read(): void {
    // Octets come by `push` alone.
  }

  override _write(chunk: Buffer | string, encoding: BufferEncoding, done: () => void): void {
    this.#said.push(typeof chunk === "string" ? Buffer.from(chunk, encoding) : Buffer.from(chunk));
    done();
  }
}

export interface Dialogue {
  /** Everything the server wrote. */
  readonly said: Buffer;
}

/** Turns of the event loop after the last chunk in which the server must close. */
const TURNS_MAX = 20_000;

/**
 * Send `input` in chunks, end the sending side, and read until the server has closed.
 * @param sizes  octets per chunk, one after the other; the last one goes on
 * @throws {Error} the server neither closes nor goes on
 */
export async function converse(
  serve: (socket: Socket) => void,
  input: Uint8Array,
  sizes: readonly number[],
): Promise<Dialogue> {
  const socket = new MemorySocket();
  // The server listens for errors itself; ours would only hide that it does not.
  // As much of a socket as servers use.
  serve(socket as unknown as Socket);
  let at = 0;
  for (let i = 0; at < input.length && !socket.destroyed; i++) {
    const size = Math.max(1, sizes[i] ?? sizes.at(-1) ?? 1);
    socket.push(Buffer.from(input.subarray(at, at + size)));
    at += size;
    await new Promise(resolve => setImmediate(resolve));
  }
  if (!socket.destroyed) socket.push(null);
  for (let turns = 0; !socket.writableFinished && !socket.destroyed; turns++) {
    if (turns > TURNS_MAX) {
      socket.destroy();
      throw new Error(
        `invariant: the server closes when its peer did; it said ${JSON.stringify(socket.said.toString("latin1").slice(-200))}`,
      );
    }
    await new Promise(resolve => setImmediate(resolve));
  }
  const { said } = socket;
  socket.destroy();
  await new Promise(resolve => setImmediate(resolve));
  return { said };
}
