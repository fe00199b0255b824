/**
 * The outer layer of a package: one gzip member (RFC 1952 §2.2) and nothing else.
 *
 * Read: no optional header fields, output bounded while it is inflated, checksum and size compared, nothing behind. Node's own gunzip
 * would go on with a second member. Written: stored blocks (RFC 1951 §3.2.4), because what zlib makes of the same bytes differs
 * between its versions and between processors, and a package built twice must be the same.
 */
import { crc32, inflateRaw } from "node:zlib";
import { messageOf } from "../../core/errors.ts";
import { MAX_UNPACKED_BYTES } from "../../wire/plugin-package.ts";
import type { Problems } from "./problems.ts";

const HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
/** Magic, deflate, no flags, no time, no extra flags, system unknown. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
const STORED_BLOCK_MAX = 0xffff;

/** What zlib's convenience call gives with `info`; its types do not know. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

/** @returns what is in it, at most {@link MAX_UNPACKED_BYTES}. @throws {PackageError} */
export async function gunzip(bytes: Uint8Array, problems: Problems): Promise<Buffer> {
  if (bytes.length < HEADER_BYTES + TRAILER_BYTES || bytes[0] !== 0x1f || bytes[1] !== 0x8b)
    return problems.fail("it is no gzip file");
  if (bytes[2] !== 8) return problems.fail(`its gzip method is ${bytes[2]}, not deflate`);
  if (bytes[3] !== 0) return problems.fail("its gzip header has optional fields");
  const { buffer, engine } = await inflated(bytes.subarray(HEADER_BYTES), problems);
  const end = HEADER_BYTES + engine.bytesWritten;
  if (bytes.length < end + TRAILER_BYTES) return problems.fail("it is cut off");
  if (bytes.length > end + TRAILER_BYTES)
    return problems.fail(`${bytes.length - end - TRAILER_BYTES} bytes follow the end of its gzip data`);
  const trailer = Buffer.from(bytes.buffer, bytes.byteOffset + end, TRAILER_BYTES);
  if (trailer.readUInt32LE(0) !== crc32(buffer)) return problems.fail("its gzip checksum does not fit");
  if (trailer.readUInt32LE(4) !== buffer.length) return problems.fail("its gzip size does not fit");
  return buffer;
}

function inflated(deflated: Uint8Array, problems: Problems): Promise<Inflated> {
  return new Promise((resolve, reject) => {
    const options = { maxOutputLength: MAX_UNPACKED_BYTES, info: true };
    inflateRaw(deflated, options, (error, result) => {
      // With `info` it is an object; the types of Node know the buffer alone.
      if (error === null) return resolve(result as unknown as Inflated);
      try {
        problems.fail(reasonOf(error));
      } catch (refused) {
        reject(refused);
      }
    });
  });
}

function reasonOf(error: NodeJS.ErrnoException): string {
  if (error.code === "ERR_BUFFER_TOO_LARGE") return `it unpacks to more than ${MAX_UNPACKED_BYTES} bytes`;
  if (error.code === "Z_BUF_ERROR") return "it is cut off";
  return `its gzip data is damaged (${messageOf(error)})`;
}

/** The same bytes give the same bytes, on every machine. */
export function gzip(bytes: Uint8Array): Buffer {
  const parts: Uint8Array[] = [HEADER];
  let at = 0;
  do {
    const block = bytes.subarray(at, at + STORED_BLOCK_MAX);
    at += block.length;
    const head = Buffer.alloc(5);
    head.writeUInt8(at === bytes.length ? 1 : 0, 0);
    head.writeUInt16LE(block.length, 1);
    head.writeUInt16LE(block.length ^ 0xffff, 3);
    parts.push(head, block);
  } while (at < bytes.length);
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.writeUInt32LE(crc32(bytes), 0);
  trailer.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([...parts, trailer]);
}
