/**
 * Many messages in one request body, in order: what `import` sends to the service. Pure codec; text is UTF-8.
 *
 * A body is a row of frames: one octet of type, four octets of length (big endian), then that many octets.
 *   H  head of the next message, JSON          D  some of its bytes
 *   E  its end, empty                          X  it could not be read to its end: forget it, empty
 *   Z  end of the batch, empty: a body without it was cut off and counts for nothing
 * Order of frames: (H D* (E | X))* Z. Failures: {@link BatchSyntaxError}.
 */

/** Longest payload of one frame, in octets; a head is far shorter. */
export const MAX_FRAME_BYTES = 1_048_576;
const PREFIX_BYTES = 5;

export type BatchFrame =
  | { readonly kind: "head"; readonly json: unknown }
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "end" }
  | { readonly kind: "abandon" }
  | { readonly kind: "last" };

export class BatchSyntaxError extends Error {}

const TYPES = { H: 0x48, D: 0x44, E: 0x45, X: 0x58, Z: 0x5a } as const;
const KNOWN: ReadonlySet<number> = new Set(Object.values(TYPES));

function frame(type: number, payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(PREFIX_BYTES + payload.length);
  out[0] = type;
  new DataView(out.buffer).setUint32(1, payload.length);
  out.set(payload, PREFIX_BYTES);
  return out;
}

const NOTHING = new Uint8Array(0);

export const headFrame = (head: unknown): Uint8Array =>
  frame(TYPES.H, new TextEncoder().encode(JSON.stringify(head)));
export const endFrame = (): Uint8Array => frame(TYPES.E, NOTHING);
export const abandonFrame = (): Uint8Array => frame(TYPES.X, NOTHING);
export const lastFrame = (): Uint8Array => frame(TYPES.Z, NOTHING);

/** Bytes of a message as frames that fit. */
export function* dataFrames(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += MAX_FRAME_BYTES) {
    yield frame(TYPES.D, bytes.subarray(at, at + MAX_FRAME_BYTES));
  }
}

/**
 * Read frames from the chunks of a body. Data is passed on as it comes, in pieces of any size.
 * @throws {BatchSyntaxError} unknown type, too long, no JSON, or cut off
 */
export async function* readBatch(chunks: AsyncIterable<Uint8Array>): AsyncIterable<BatchFrame> {
  const reader = new FrameReader();
  for await (const chunk of chunks) {
    yield* reader.take(chunk);
  }
  if (!reader.complete) throw new BatchSyntaxError("the batch is cut off");
}

class FrameReader {
  complete = false;
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixBytes = 0;
  #left = 0;
  /** A head is collected; data is not. */
  #head: Uint8Array = NOTHING;
  #headBytes = 0;

  *take(chunk: Uint8Array): Iterable<BatchFrame> {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.complete) throw new BatchSyntaxError("there is more after the end of the batch");
      rest =
        this.#prefixBytes < PREFIX_BYTES ? yield* this.#takePrefix(rest) : yield* this.#takePayload(rest);
    }
  }

  *#takePrefix(chunk: Uint8Array): Generator<BatchFrame, Uint8Array> {
    const part = chunk.subarray(0, PREFIX_BYTES - this.#prefixBytes);
    this.#prefix.set(part, this.#prefixBytes);
    this.#prefixBytes += part.length;
    if (this.#prefixBytes === PREFIX_BYTES) {
      if (!KNOWN.has(this.#prefix[0] ?? 0))
        throw new BatchSyntaxError(`there is no frame of type ${this.#prefix[0]}`);
      this.#left = new DataView(this.#prefix.buffer).getUint32(1);
      if (this.#left > MAX_FRAME_BYTES)
        throw new BatchSyntaxError(`a frame of ${this.#left} octets is too long`);
      if (this.#prefix[0] === TYPES.H) this.#head = new Uint8Array(this.#left);
      this.#headBytes = 0;
      if (this.#left === 0) yield* this.#ended();
    }
    return chunk.subarray(part.length);
  }

  *#takePayload(chunk: Uint8Array): Generator<BatchFrame, Uint8Array> {
    const part = chunk.subarray(0, this.#left);
    this.#left -= part.length;
    if (this.#prefix[0] === TYPES.H) {
      this.#head.set(part, this.#headBytes);
      this.#headBytes += part.length;
    } else if (this.#prefix[0] === TYPES.D) yield { kind: "data", bytes: part };
    if (this.#left === 0) yield* this.#ended();
    return chunk.subarray(part.length);
  }

  *#ended(): Iterable<BatchFrame> {
    this.#prefixBytes = 0;
    switch (this.#prefix[0]) {
      case TYPES.H:
        yield { kind: "head", json: jsonOf(this.#head) };
        return;
      case TYPES.D:
        return;
      case TYPES.E:
        yield { kind: "end" };
        return;
      case TYPES.X:
        yield { kind: "abandon" };
        return;
      default:
        this.complete = true;
        yield { kind: "last" };
    }
  }
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new BatchSyntaxError("the head of a message is no JSON");
  }
}
