/**
 * Reads a range of a message's blob so that damage is found as early as possible: the first octets are read before the
 * literal is announced, later damage can only close the connection. Holds at most a first stretch in memory.
 */
import { MairustError } from "../../core/errors.ts";
import type { BlobDigest } from "../../core/ids.ts";
import type { BlobStore, ByteRange } from "../../core/ports/blobs.ts";

/** Octets read before an answer begins: small messages are then proven whole. */
const FIRST_BYTES = 65_536;

const TOO_MANY = "more octets came than its size";

/** A range whose beginning was read already. Either `drain` or `drop` it. */
export class StartedRead {
  readonly #first: readonly Uint8Array[];
  readonly #iterator: AsyncIterator<Uint8Array> | undefined;
  readonly #rest: number;

  constructor(first: readonly Uint8Array[], iterator: AsyncIterator<Uint8Array> | undefined, rest: number) {
    this.#first = first;
    this.#iterator = iterator;
    this.#rest = rest;
  }

  /** All octets, when none is left to be read. */
  get whole(): readonly Uint8Array[] | undefined {
    return this.#iterator === undefined ? this.#first : undefined;
  }

  /** All octets of the range. @throws {MairustError} `blob_damaged` when the blob ends early or goes on too long */
  async *chunks(): AsyncIterable<Uint8Array> {
    const iterator = this.#iterator;
    let left = this.#rest;
    try {
      yield* this.#first;
      if (iterator === undefined) return;
      for (;;) {
        const next = await iterator.next();
        if (next.done === true) break;
        left -= next.value.length;
        if (left < 0) throw damaged(TOO_MANY);
        yield next.value;
      }
    } finally {
      // Wherever it stops, also at the last octet: the file is closed only when its reader ends.
      await iterator?.return?.();
    }
    if (left !== 0) throw damaged("it ended early");
  }

  async drop(): Promise<void> {
    await this.#iterator?.return?.();
  }
}

/**
 * Begin to read.
 * @throws {MairustError} `blob_missing`, `blob_damaged`
 */
export async function startRead(
  blobs: Pick<BlobStore, "open">,
  digest: BlobDigest,
  range: ByteRange,
): Promise<StartedRead> {
  let left = range.end - range.start;
  if (left === 0) return new StartedRead([], undefined, 0);
  const opened = await blobs.open(digest, range);
  if (opened instanceof Uint8Array) {
    if (opened.length !== left) throw damaged(opened.length < left ? "it ended early" : TOO_MANY);
    return new StartedRead([opened], undefined, 0);
  }
  const iterator = opened[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let held = 0;
  while (held < FIRST_BYTES) {
    const next = await iterator.next();
    if (next.done === true) {
      if (left !== 0) throw damaged("it ended early");
      return new StartedRead(first, undefined, 0);
    }
    first.push(next.value);
    held += next.value.length;
    left -= next.value.length;
    if (left < 0) {
      await iterator.return?.();
      throw damaged(TOO_MANY);
    }
  }
  return new StartedRead(first, iterator, left);
}

/** A whole range in memory; at most `limit` octets of it. */
export async function readRange(
  blobs: Pick<BlobStore, "open">,
  digest: BlobDigest,
  range: ByteRange,
  limit: number,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  const end = Math.min(range.end, range.start + limit);
  for await (const chunk of (await startRead(blobs, digest, { start: range.start, end })).chunks())
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

function damaged(state: string): MairustError {
  return new MairustError("blob_damaged", `Cannot read blob: ${state}`);
}
