/**
 * Varints and short texts for packed.ts. Numbers are LEB128 by arithmetic, not by shifts: offsets may pass 2^31.
 * What fails: reading past the end → `data_invalid`.
 */
import { MairustError } from "../errors.ts";
import type { ByteText } from "./structure.ts";

export class PackedWriter {
  #out = "";

  get length(): number {
    return this.#out.length;
  }

  /** @param value  integer ≥ 0 */
  number(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.#out += String.fromCharCode((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#out += String.fromCharCode(rest);
  }

  text(text: ByteText): void {
    this.number(text.length);
    this.#out += text;
  }

  bytes(): Buffer {
    return Buffer.from(this.#out, "latin1");
  }
}

export class PackedReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #position: number;

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#position = start;
    this.#end = end;
  }

  get position(): number {
    return this.#position;
  }

  number(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 0x80) {
      const octet = this.#position < this.#end ? this.#bytes[this.#position] : undefined;
      if (octet === undefined || scale > Number.MAX_SAFE_INTEGER / 0x80) throw this.#cut();
      this.#position++;
      value += (octet & 0x7f) * scale;
      if (octet < 0x80) return value;
    }
  }

  skip(octets: number): void {
    if (octets > this.#end - this.#position) throw this.#cut();
    this.#position += octets;
  }

  text(): ByteText {
    const length = this.number();
    const start = this.#position;
    this.skip(length);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, length).toString("latin1");
  }

  #cut(): MairustError {
    return new MairustError(
      "data_invalid",
      `Cannot read the stored structure: it is damaged at byte ${this.#position}`,
    );
  }
}
