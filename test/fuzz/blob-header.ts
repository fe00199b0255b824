/** Fuzz target: the 16 octets in front of a stored blob, and the table of its blocks: what is read is what would be written. */
import {
  type Form,
  HEADER_BYTES,
  placeBlocks,
  readHeader,
  writeHeader,
} from "../../src/store/blobs-fs-format.ts";
import { check } from "./lib/target.ts";

export const name = "blob-header";
export const maxBytes = 64;
export const words = [
  "MRB1",
  "\0\0\0\0",
  "\x01\0\0\0",
  "\x02\0\0\0",
  "\0\x1f\xff\xff\xff\xff\xff\xff",
  "\0\x20\0\0\0\0\0\0",
];

function header(form: Form, sizeBytes: number): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES + 4);
  writeHeader(bytes, form, sizeBytes);
  return bytes;
}

export const seeds = [
  header("plain", 0),
  header("brotli", 4096),
  header("blocks", 600_000),
  header("plain", Number.MAX_SAFE_INTEGER),
];

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  const read = readHeader(bytes);
  if (read === undefined) return;
  check(Number.isSafeInteger(read.sizeBytes) && read.sizeBytes >= 0, "a size that can be counted with");
  check(
    Buffer.from(header(read.form, read.sizeBytes).subarray(0, HEADER_BYTES)).equals(
      bytes.subarray(0, HEADER_BYTES),
    ),
    "the header is the one that would be written",
  );
  // The rest as a table: what is accepted lies one after the other, within the file.
  const table = bytes.subarray(
    HEADER_BYTES,
    HEADER_BYTES + Math.floor((bytes.length - HEADER_BYTES) / 4) * 4,
  );
  const fileBytes = read.sizeBytes + HEADER_BYTES + table.length;
  const blocks = placeBlocks(table, read.sizeBytes, fileBytes);
  let at = HEADER_BYTES;
  for (const block of blocks ?? []) {
    check(block.at === at && block.storedBytes <= block.sizeBytes, "a block lies behind the one before");
    at += block.storedBytes;
  }
  check(blocks === undefined || at + table.length === fileBytes, "the blocks fill the file");
}
