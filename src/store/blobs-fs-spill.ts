/**
 * A message that is too large to keep in memory, on its way to a temporary file (step 6): one block of memory, which is compressed by
 * itself when that is worth it (`blobs-fs-format.ts`).
 *
 * States: open → ended | failed | removed. Writes are taken in order even when the caller does not wait for them.
 * Failures: `disk_full`, `store_unavailable`; after one every further call fails the same way.
 */
import { compressed, isWorthIt, isWorthTrying } from "./blobs-fs-codec.ts";
import {
  BLOCK_BYTES,
  blockTable,
  type Form,
  HEADER_BYTES,
  type StoredBlock,
  writeHeader,
} from "./blobs-fs-format.ts";
import {
  blobError,
  CREATE_NEW,
  closeFile,
  openFile,
  removeFile,
  syncFile,
  writeFully,
} from "./blobs-fs-io.ts";

export class Spill {
  readonly path: string;
  readonly #compress: boolean;
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #blockUsed = 0;
  /** Four octets each in the end; a message has a few hundred at most. */
  readonly #blocks: StoredBlock[] = [];
  #fd: number | undefined;
  #position = HEADER_BYTES;
  #tail: Promise<void>;
  #pending = 0;

  /** @param path  temporary name, free */
  constructor(path: string, compress: boolean) {
    this.path = path;
    this.#compress = compress;
    this.#tail = Promise.resolve();
    this.#enqueue(async () => {
      this.#fd = await openFile(path, CREATE_NEW);
    });
  }

  /** Of what was written so far. */
  get form(): Form {
    return this.#blocks.some(block => block.compressed) ? "blocks" : "plain";
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
      if (this.form === "blocks") await this.#append(blockTable(this.#blocks));
      const header = Buffer.alloc(HEADER_BYTES);
      writeHeader(header, this.form, sizeBytes);
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
    const packed = this.#compress && isWorthTrying(block) ? await compressed(block) : undefined;
    const isPacked = packed !== undefined && isWorthIt(block.length, packed.length);
    const stored = isPacked ? packed : block;
    await this.#append(stored);
    this.#blocks.push({ compressed: isPacked, storedBytes: stored.length });
    this.#blockUsed = 0;
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
