/**
 * The way out: collects small pieces into chunks and never queues more than a bound for a client that reads slowly.
 * Every producer of much output awaits {@link Output.pressure} between pieces. Fails with {@link ConnectionGone} when the
 * peer left, which unwinds the running command.
 */
import type { Socket } from "node:net";
import { MairustError } from "../../core/errors.ts";
import { freeBytes } from "../../platform/free-bytes.ts";

/** Octets per chunk of collected small pieces; the first chunk of an answer is small, since most answers are. */
const CHUNK_BYTES = 32_768;
const FIRST_CHUNK_BYTES = 2048;
/** From this size on a piece is handed over as it is. */
const DIRECT_BYTES = 8192;

/** The peer has gone: nothing can be answered, nothing is wrong with us. */
export class ConnectionGone extends MairustError {
  constructor() {
    super("internal", "Cannot answer: the connection is closed");
  }
}

export class Output {
  readonly #socket: Socket;
  readonly #queueBytes: number;
  #chunk: Buffer | undefined;
  #used = 0;
  #waiting: { resolve: () => void; reject: (error: Error) => void } | undefined;
  /** Pieces handed to the socket that the client has not taken. */
  #untaken = 0;
  #stalledSince: number | undefined;
  readonly #onTaken = () => {
    this.#untaken -= 1;
    this.#stalledSince = this.#untaken > 0 ? performance.now() : undefined;
  };
  readonly #onWake = () => this.#wake();

  /** @param queueBytes  octets queued from which producers wait */
  constructor(socket: Socket, queueBytes: number) {
    this.#socket = socket;
    this.#queueBytes = queueBytes;
    socket.on("drain", this.#onWake);
    socket.on("close", this.#onWake);
  }

  /** Hand over what is collected, and leave the socket to somebody else. */
  release(): void {
    this.flush();
    this.#socket.off("drain", this.#onWake);
    this.#socket.off("close", this.#onWake);
  }

  /** `performance.now()` since when the client has taken nothing of what waits, be it little; undefined: nothing waits. */
  get stalledSince(): number | undefined {
    return this.#stalledSince;
  }

  /** ASCII text. */
  text(text: string): void {
    if (text.length > CHUNK_BYTES) {
      this.bytes(Buffer.from(text, "latin1"));
      return;
    }
    const chunk = this.#room(text.length);
    this.#used += chunk.write(text, this.#used, "latin1");
  }

  /** The caller leaves `bytes` unchanged from now on. */
  bytes(bytes: Uint8Array): void {
    if (bytes.length >= DIRECT_BYTES) {
      this.flush();
      this.#write(bytes);
      return;
    }
    const chunk = this.#room(bytes.length);
    chunk.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** The same for bytes whose memory nobody else has: it is freed as soon as the client has taken them. */
  give(bytes: Uint8Array): void {
    if (bytes.length < DIRECT_BYTES) {
      this.bytes(bytes);
      freeBytes(bytes);
      return;
    }
    // With what stands before it in one call of the system.
    this.#socket.cork();
    this.flush();
    this.#give(bytes);
    this.#socket.uncork();
  }

  /** Hand over what is collected. */
  flush(): void {
    const chunk = this.#chunk;
    if (chunk === undefined) return;
    const collected = chunk.subarray(0, this.#used);
    this.#chunk = undefined;
    this.#used = 0;
    this.#give(collected);
  }

  /**
   * @returns a promise to await before more is produced, or undefined when there is room
   * @throws {ConnectionGone} (also as rejection)
   */
  pressure(): Promise<void> | undefined {
    if (!this.#socket.writable) throw new ConnectionGone();
    if (this.#socket.writableLength + this.#used < this.#queueBytes) return undefined;
    this.flush();
    // No "drain" comes when the socket took everything at once.
    if (!this.#socket.writableNeedDrain) return undefined;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  #room(size: number): Buffer {
    const full = this.#chunk !== undefined && this.#used + size > this.#chunk.length;
    if (full) this.flush();
    if (this.#chunk === undefined) {
      this.#chunk = Buffer.allocUnsafeSlow(
        full || size > FIRST_CHUNK_BYTES ? CHUNK_BYTES : FIRST_CHUNK_BYTES,
      );
      this.#used = 0;
    }
    return this.#chunk;
  }

  #give(bytes: Uint8Array): void {
    this.#write(bytes, () => {
      this.#onTaken();
      freeBytes(bytes);
    });
  }

  #write(bytes: Uint8Array, onTaken = this.#onTaken): void {
    if (!this.#socket.writable) return;
    this.#untaken += 1;
    this.#stalledSince ??= performance.now();
    this.#socket.write(bytes, onTaken);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    if (this.#socket.writable) waiting.resolve();
    else waiting.reject(new ConnectionGone());
  }
}
