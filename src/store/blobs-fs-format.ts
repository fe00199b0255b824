/**
 * How a blob lies in its file (step 7): 16 octets that say what follows, then the bytes or their brotli form. Pure.
 *
 *   0  4  "MRB1"
 *   4  1  codec: 0 none, 1 brotli
 *   5  3  zero
 *   8  8  octets before compression, big endian
 *
 * A header and not a file name suffix: one name per digest, so that writing again replaces, and finding takes one try; always
 * there, so that no message can look like one.
 */
import { type BrotliOptions, constants } from "node:zlib";
import { MairustError } from "../core/errors.ts";
import type { BlobRecord } from "../core/ports/blobs.ts";

export type Codec = BlobRecord["codec"];

export const HEADER_BYTES = 16;
const MAGIC = 0x4d524231;
const CODECS: readonly Codec[] = ["none", "brotli"];

/** Write the header into the first 16 octets of `target`. */
export function writeHeader(target: Buffer, codec: Codec, sizeBytes: number): void {
  target.writeUInt32BE(MAGIC, 0);
  target.writeUInt32BE(CODECS.indexOf(codec) * 0x1000000, 4);
  target.writeBigUInt64BE(BigInt(sizeBytes), 8);
}

/** @returns undefined when `bytes` do not begin with a header */
export function readHeader(bytes: Buffer): { readonly codec: Codec; readonly sizeBytes: number } | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) return undefined;
  const codecAndZeros = bytes.readUInt32BE(4);
  const codec = CODECS[codecAndZeros >>> 24];
  const size = bytes.readBigUInt64BE(8);
  if (codec === undefined || (codecAndZeros & 0xffffff) !== 0 || size > BigInt(Number.MAX_SAFE_INTEGER))
    return undefined;
  return { codec, sizeBytes: Number(size) };
}

/** Quality 1: 4 KB of mail take 25 µs, half of it stays. A window of 256 KB keeps memory small and costs no size at this quality. */
export function brotliOptions(sizeHint: number): BrotliOptions {
  return {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 1,
      [constants.BROTLI_PARAM_LGWIN]: 18,
      [constants.BROTLI_PARAM_SIZE_HINT]: sizeHint,
    },
  };
}

/**
 * Compression is kept when it saves at least two octets in five, as text does. Base64 would save one in four, and then be read at
 * a quarter of the speed: it costs as much to decode as it has octets, text costs as much as is left of it.
 */
export function isWorthIt(before: number, after: number): boolean {
  return after <= before * 0.6;
}

export function damaged(name: string, why: string, cause?: unknown): MairustError {
  return new MairustError("blob_damaged", `Cannot read blob "${name}": ${why}`, { cause });
}
