/**
 * How a blob lies in its file (step 7): 16 octets that say what follows, then the bytes in one of three forms. Pure.
 *
 *   0  4  "MRB1"
 *   4  1  form: 0 plain, 1 brotli as a whole, 2 blocks
 *   5  3  zero
 *   8  8  octets before compression, big endian
 *
 * Blocks: each 256 KiB by itself, brotli or plain, whichever is better; then four octets for each block, in order, big endian: the
 * highest bit says brotli, the others how many octets the block takes in the file. So a range is read without what stands before it,
 * and the text of a large message is compressed while its pictures are read as fast as the disk gives them.
 *
 * A header and not a file name suffix: one name per digest, so that writing again replaces, and finding takes one try; always
 * there, so that no message can look like one.
 */
import { MairustError } from "../core/errors.ts";
import type { BlobRecord } from "../core/ports/blobs.ts";

export type Codec = BlobRecord["codec"];
export type Form = "plain" | "brotli" | "blocks";

export const HEADER_BYTES = 16;
const MAGIC = 0x4d524231;
const FORMS: readonly Form[] = ["plain", "brotli", "blocks"];
/** Logical octets of each block but the last. */
export const BLOCK_BYTES = 256 * 1024;
export const ENTRY_BYTES = 4;
const COMPRESSED = 0x80000000;

/** Write the header into the first 16 octets of `target`. */
export function writeHeader(target: Buffer, form: Form, sizeBytes: number): void {
  target.writeUInt32BE(MAGIC, 0);
  target.writeUInt32BE(FORMS.indexOf(form) * 0x1000000, 4);
  target.writeBigUInt64BE(BigInt(sizeBytes), 8);
}

/** @returns undefined when `bytes` do not begin with a header */
export function readHeader(bytes: Buffer): { readonly form: Form; readonly sizeBytes: number } | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) return undefined;
  const formAndZeros = bytes.readUInt32BE(4);
  const form = FORMS[formAndZeros >>> 24];
  const size = bytes.readBigUInt64BE(8);
  if (form === undefined || (formAndZeros & 0xffffff) !== 0 || size > BigInt(Number.MAX_SAFE_INTEGER))
    return undefined;
  return { form, sizeBytes: Number(size) };
}

/** What is recorded of a form. */
export function codecOf(form: Form): Codec {
  return form === "plain" ? "none" : "brotli";
}

/** One block in the file. */
export interface StoredBlock {
  readonly compressed: boolean;
  readonly storedBytes: number;
}

/** The table that follows the blocks. */
export function blockTable(blocks: readonly StoredBlock[]): Buffer {
  const table = Buffer.alloc(blocks.length * ENTRY_BYTES);
  for (const [i, { compressed, storedBytes }] of blocks.entries())
    table.writeUInt32BE(storedBytes + (compressed ? COMPRESSED : 0), i * ENTRY_BYTES);
  return table;
}

/** Where each block lies. */
export interface PlacedBlock extends StoredBlock {
  /** Offset in the file. */
  readonly at: number;
  /** Logical octets. */
  readonly sizeBytes: number;
}

/** @returns undefined when the table is not one of a blob of `sizeBytes` in a file of `fileBytes` */
export function placeBlocks(
  table: Buffer,
  sizeBytes: number,
  fileBytes: number,
): readonly PlacedBlock[] | undefined {
  const blocks: PlacedBlock[] = [];
  let at = HEADER_BYTES;
  for (let i = 0; i * ENTRY_BYTES < table.length; i += 1) {
    const entry = table.readUInt32BE(i * ENTRY_BYTES);
    const compressed = entry >= COMPRESSED;
    const storedBytes = compressed ? entry - COMPRESSED : entry;
    const logical = Math.min(BLOCK_BYTES, sizeBytes - i * BLOCK_BYTES);
    if (storedBytes > logical || (!compressed && storedBytes !== logical)) return undefined;
    blocks.push({ compressed, storedBytes, at, sizeBytes: logical });
    at += storedBytes;
  }
  return at + table.length === fileBytes ? blocks : undefined;
}

/** Octets of the table of a blob of `sizeBytes`. */
export function tableBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * ENTRY_BYTES;
}

export function damaged(name: string, why: string, cause?: unknown): MairustError {
  return new MairustError("blob_damaged", `Cannot read blob "${name}": ${why}`, { cause });
}
