/** Fuzz target: the 16 octets in front of a stored blob: what is read is what would be written. */
import { HEADER_BYTES, readHeader, writeHeader } from "../../src/store/blobs-fs-format.ts";
import { check } from "./lib/target.ts";

export const name = "blob-header";
export const maxBytes = 64;
export const words = [
  "MRB1",
  "\0\0\0\0",
  "\x01\0\0\0",
  "\0\x1f\xff\xff\xff\xff\xff\xff",
  "\0\x20\0\0\0\0\0\0",
];

function header(codec: "none" | "brotli", sizeBytes: number): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES + 4);
  writeHeader(bytes, codec, sizeBytes);
  return bytes;
}

export const seeds = [header("none", 0), header("brotli", 4096), header("none", Number.MAX_SAFE_INTEGER)];

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  const read = readHeader(bytes);
  if (read === undefined) return;
  check(Number.isSafeInteger(read.sizeBytes) && read.sizeBytes >= 0, "a size that can be counted with");
  check(
    Buffer.from(header(read.codec, read.sizeBytes).subarray(0, HEADER_BYTES)).equals(
      bytes.subarray(0, HEADER_BYTES),
    ),
    "the header is the one that would be written",
  );
}
