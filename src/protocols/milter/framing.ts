/**
 * Octets from the socket → packets: four octets of length, then that many octets. Pure; first step of the milter.
 *
 * A packet that lies in one chunk is a view of it; one that is cut is gathered in a buffer that grows with what has come, so
 * that a length without its packet costs nothing. A length of 0 (no command) or beyond the limit ends the connection.
 *
 * Source: sendmail libmilter/comm.c (mi_rd_cmd)
 */
import { MilterProtocolError } from "./protocol-error.ts";

const LENGTH_BYTES = 4;
const EMPTY = Buffer.alloc(0);
/** What a cut packet gets at first. */
const FIRST_ROOM_BYTES = 16_384;

/** States: in the length, in the packet. After an error the object is used up. */
export class PacketReader {
  readonly #maxBytes: number;
  #chunk: Buffer = EMPTY;
  #at = 0;
  #length = 0;
  #lengthBytes = 0;
  /** The packet gathered so far, when it began in an earlier chunk. */
  #partial: Buffer = EMPTY;
  #partialBytes = 0;

  /** @param maxBytes  longest packet, without its length (`limits.milter_packet_bytes`) */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The next octets, once {@link next} has nothing more. Kept until then; packets may be views of it. */
  push(chunk: Buffer): void {
    this.#chunk =
      this.#at < this.#chunk.length ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : chunk;
    this.#at = 0;
  }

  /**
   * @returns the next packet (command octet and data), or undefined when more octets are needed
   * @throws {MilterProtocolError} `too_long`, `syntax`
   */
  next(): Buffer | undefined {
    if (!this.#readLength()) return undefined;
    const missing = this.#length - this.#partialBytes;
    const here = this.#chunk.length - this.#at;
    if (this.#partialBytes === 0 && here >= missing) return this.#take(this.#slice(missing));
    this.#gather(this.#slice(Math.min(missing, here)));
    return this.#partialBytes === this.#length
      ? this.#take(this.#partial.subarray(0, this.#length))
      : undefined;
  }

  /** @returns whether the length is complete */
  #readLength(): boolean {
    while (this.#lengthBytes < LENGTH_BYTES) {
      const octet = this.#chunk[this.#at];
      if (octet === undefined) return false;
      this.#at += 1;
      this.#length = this.#length * 256 + octet;
      this.#lengthBytes += 1;
      if (this.#lengthBytes === LENGTH_BYTES) this.#checkLength();
    }
    return true;
  }

  #checkLength(): void {
    if (this.#length === 0) throw new MilterProtocolError("syntax", "Cannot read packet: it has no command");
    if (this.#length > this.#maxBytes) {
      throw new MilterProtocolError(
        "too_long",
        `Cannot read packet: its length is "${this.#length}", allowed are "${this.#maxBytes}"`,
      );
    }
  }

  #slice(bytes: number): Buffer {
    const slice = this.#chunk.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    return slice;
  }

  #gather(bytes: Buffer): void {
    const needed = this.#partialBytes + bytes.length;
    if (needed > this.#partial.length) {
      const room = Math.min(this.#length, Math.max(needed, this.#partial.length * 2, FIRST_ROOM_BYTES));
      const larger = Buffer.allocUnsafe(room);
      this.#partial.copy(larger, 0, 0, this.#partialBytes);
      this.#partial = larger;
    }
    bytes.copy(this.#partial, this.#partialBytes);
    this.#partialBytes = needed;
  }

  #take(packet: Buffer): Buffer {
    this.#length = 0;
    this.#lengthBytes = 0;
    this.#partial = EMPTY;
    this.#partialBytes = 0;
    return packet;
  }
}
