/**
 * Bytes that arrive in pieces, kept up to a cap: a header line spread over chunks, the head of the message. What is past
 * the cap is only measured. Grows by doubling, so one octet at a time is still linear.
 */

const FIRST_BYTES = 1024;

export class GrowingBuffer {
  readonly #capBytes: number;
  #bytes: Buffer = Buffer.alloc(0);
  #kept = 0;
  #length = 0;

  /** @param capBytes  octets kept at most */
  constructor(capBytes: number) {
    this.#capBytes = capBytes;
  }

  /** Octets seen since `clear`. */
  get length(): number {
    return this.#length;
  }

  /** Octets kept: `min(length, cap)`. */
  get kept(): number {
    return this.#kept;
  }

  /** Valid up to `kept`, until the next `append`. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  append(source: Buffer, start: number, end: number): void {
    this.#length += end - start;
    const take = Math.min(end - start, this.#capBytes - this.#kept);
    if (take <= 0) return;
    const needed = this.#kept + take;
    if (needed > this.#bytes.length) {
      const size = Math.min(this.#capBytes, Math.max(FIRST_BYTES, needed, this.#bytes.length * 2));
      const grown = Buffer.alloc(size);
      this.#bytes.copy(grown, 0, 0, this.#kept);
      this.#bytes = grown;
    }
    source.copy(this.#bytes, this.#kept, start, start + take);
    this.#kept = needed;
  }

  clear(): void {
    this.#kept = 0;
    this.#length = 0;
  }
}
