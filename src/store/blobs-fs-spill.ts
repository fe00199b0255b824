/**
 * A message that is too large to keep in memory, on its way to a temporary file (step 6): one block of memory, optionally brotli.
 *
 * States: open → ended | failed | removed. Writes are taken in order even when the caller does not wait for them.
 * Failures: `disk_full`, `store_unavailable`; after one every further call fails the same way.
 */
import { type BrotliCompress, createBrotliCompress } from "node:zlib";
import { brotliOptions, type Codec, HEADER_BYTES, writeHeader } from "./blobs-fs-format.ts";
import {
  blobError,
  CREATE_NEW,
  closeFile,
  openFile,
  removeFile,
  syncFile,
  writeFully,
} from "./blobs-fs-io.ts";

/** Written at a time: each write is a trip to another thread, which costs as much as copying this. */
const BLOCK_BYTES = 256 * 1024;
/** Size told to the encoder when the real one is not known: it only chooses sizes of tables. */
const SIZE_HINT_BYTES = 1024 * 1024;

export class Spill {
  readonly path: string;
  readonly codec: Codec;
  readonly #encoder: BrotliCompress | undefined;
  readonly #encoded: Buffer[] = [];
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #blockUsed = 0;
  #fd: number | undefined;
  #position = HEADER_BYTES;
  #tail: Promise<void>;
  #pending = 0;

  /** @param path  temporary name, free */
  constructor(path: string, codec: Codec) {
    this.path = path;
    this.codec = codec;
    if (codec === "brotli") {
      this.#encoder = createBrotliCompress({ ...brotliOptions(SIZE_HINT_BYTES), chunkSize: BLOCK_BYTES / 4 });
      this.#encoder.on("data", (chunk: Buffer) => this.#encoded.push(chunk));
      // Each write hears of its own failure.
      this.#encoder.on("error", () => undefined);
    }
    this.#tail = Promise.resolve();
    this.#enqueue(async () => {
      this.#fd = await openFile(path, CREATE_NEW);
    });
  }

  /** Octets the file has, header included. */
  get fileBytes(): number {
    return this.#position;
  }

  /** @param chunk  free for other use after the returned promise, or at once when there is none */
  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#pending > 0 || chunk.length > BLOCK_BYTES - this.#blockUsed)
      return this.#enqueue(() => this.#take(chunk));
    this.#block.set(chunk, this.#blockUsed);
    this.#blockUsed += chunk.length;
    return undefined;
  }

  /** Write what is left, then the header. Not durable yet. */
  end(sizeBytes: number): Promise<void> {
    return this.#enqueue(async () => {
      await this.#flushBlock();
      if (this.#encoder !== undefined) await this.#endEncoder(this.#encoder);
      const header = Buffer.alloc(HEADER_BYTES);
      writeHeader(header, this.codec, sizeBytes);
      await writeFully(this.#file(), header, 0);
    });
  }

  /** fsync by the descriptor that wrote: a write error of the past shows here and only here. */
  sync(): Promise<void> {
    return this.#enqueue(() => syncFile(this.#file()));
  }

  /** Close the file and, unless it has its final name by now, remove it. Never throws. */
  async close(remove: boolean): Promise<void> {
    await this.#tail.catch(() => undefined);
    this.#encoder?.destroy();
    const fd = this.#fd;
    this.#fd = undefined;
    // Nothing more can be done here; a leftover is removed at the next start.
    if (fd !== undefined) await closeFile(fd).catch(() => undefined);
    if (remove) await removeFile(this.path).catch(() => undefined);
  }

  async #take(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      if (this.#blockUsed === BLOCK_BYTES) await this.#flushBlock();
      const part = chunk.subarray(at, at + BLOCK_BYTES - this.#blockUsed);
      this.#block.set(part, this.#blockUsed);
      this.#blockUsed += part.length;
      at += part.length;
    }
    if (this.#blockUsed === BLOCK_BYTES) await this.#flushBlock();
  }

  async #flushBlock(): Promise<void> {
    if (this.#blockUsed === 0) return;
    const block = this.#block.subarray(0, this.#blockUsed);
    const encoder = this.#encoder;
    if (encoder === undefined) await this.#append(block);
    else {
      await new Promise<void>((resolve, reject) => {
        encoder.write(block, error => (error ? reject(error) : resolve()));
      });
      await this.#appendEncoded();
    }
    this.#blockUsed = 0;
  }

  async #endEncoder(encoder: BrotliCompress): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      encoder.once("end", resolve);
      encoder.once("error", reject);
      encoder.end();
    });
    await this.#appendEncoded();
  }

  async #appendEncoded(): Promise<void> {
    for (const chunk of this.#encoded.splice(0)) await this.#append(chunk);
  }

  async #append(bytes: Uint8Array): Promise<void> {
    await writeFully(this.#file(), bytes, this.#position);
    this.#position += bytes.length;
  }

  #file(): number {
    if (this.#fd === undefined) throw blobError(new Error("the file is closed"), `write "${this.path}"`);
    return this.#fd;
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    this.#pending += 1;
    const turn = this.#tail.then(work).then(
      () => {
        this.#pending -= 1;
      },
      error => {
        throw blobError(error, "write a blob");
      },
    );
    this.#tail = turn;
    turn.catch(() => undefined);
    return turn;
  }
}
