/** Brotli for blobs (steps 7 and 9): what is worth it, and how it is done. Text is compressed; what is noise already stays as it is. */
import {
  type BrotliOptions,
  brotliCompress,
  brotliCompressSync,
  brotliDecompress,
  brotliDecompressSync,
  constants,
} from "node:zlib";
import { HEADER_BYTES } from "./blobs-fs-format.ts";

/** Below this at most one block of the file system is saved, for a tenth of what storing the message costs the process. */
const COMPRESS_FROM_BYTES = 8192 - HEADER_BYTES;
/** Up to these sizes it takes 0.1 ms or less: a thread would cost more. */
const COMPRESS_SYNC_BYTES = 32 * 1024;
const DECOMPRESS_SYNC_BYTES = 32 * 1024;
/** What is compressed on trial: the end of a large piece, past headers and text. */
const SAMPLE_BYTES = 4 * 1024;

/**
 * Compression is kept when it saves at least two octets in five, as text does. Base64 would save one in four, and then be read at
 * a quarter of the speed: it costs as much to decode as it has octets, text costs as much as is left of it.
 */
export function isWorthIt(before: number, after: number): boolean {
  return after <= before * 0.6;
}

/** A piece that is too large to compress in passing is judged by its end first. */
export function isWorthTrying(raw: Buffer): boolean {
  if (raw.length <= COMPRESS_SYNC_BYTES) return raw.length >= COMPRESS_FROM_BYTES;
  const sample = raw.subarray(raw.length - SAMPLE_BYTES);
  return isWorthIt(sample.length, brotliCompressSync(sample, optionsFor(sample.length)).length);
}

/** `raw` stays as it is until the promise resolves. */
export async function compressed(raw: Buffer): Promise<Buffer> {
  const options = optionsFor(raw.length);
  if (raw.length <= COMPRESS_SYNC_BYTES) return brotliCompressSync(raw, options);
  return new Promise((resolve, reject) => {
    brotliCompress(raw, options, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

/**
 * @param sizeBytes  octets that must come out; more than one too many are never made
 * @throws {Error} not brotli, or more octets than expected; fewer are given as they are
 */
export async function decompressed(packed: Buffer, sizeBytes: number): Promise<Buffer> {
  if (sizeBytes <= DECOMPRESS_SYNC_BYTES) return decompressedNow(packed, sizeBytes);
  const options = boundedTo(sizeBytes);
  return new Promise((resolve, reject) => {
    brotliDecompress(packed, options, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
}

/** The same without leaving the thread. */
export function decompressedNow(packed: Buffer, sizeBytes: number): Buffer {
  return brotliDecompressSync(packed, boundedTo(sizeBytes));
}

/** One octet more than expected is enough to see that there is too much. Room for all of it at once: one piece instead of many. */
function boundedTo(sizeBytes: number): BrotliOptions {
  return { maxOutputLength: sizeBytes + 1, chunkSize: Math.max(64, sizeBytes + 1) };
}

/** Quality 1: 4 KB of mail take 25 µs, half of it stays. A window of 256 KB keeps memory small and costs no size at this quality. */
function optionsFor(sizeHint: number): BrotliOptions {
  return {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: 1,
      [constants.BROTLI_PARAM_LGWIN]: 18,
      [constants.BROTLI_PARAM_SIZE_HINT]: sizeHint,
    },
  };
}
