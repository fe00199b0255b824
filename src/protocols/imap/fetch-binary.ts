/**
 * FETCH BINARY: a part with its transfer encoding undone. Its octets are counted before the first one is sent: small ones are kept,
 * larger ones are decoded once more while they are sent, so memory has a bound whatever the part. A part that has parts of its own
 * has no encoding (RFC 2045 §6.4) and comes as it is, as does the whole message. Source: RFC 3516 §4.2–4.4; RFC 9051 §6.4.5.
 */
import { MairustError } from "../../core/errors.ts";
import { findEncodedPart } from "../../core/mime/packed.ts";
import { isTransferEncoding, TransferDecoder } from "../../core/permissions-transfer.ts";
import type { ByteRange } from "../../core/ports/blobs.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import type { BinaryItem } from "./parse-binary.ts";

/** What is decoded, and which of the decoded octets are wanted. */
export interface Decoded {
  /** Octets in front that are no part of the blob. */
  readonly prefix: Uint8Array;
  readonly range: ByteRange;
  readonly encoding: string;
  readonly start: number;
  /** Behind the last one; at most as many as there are, or any number. */
  readonly end: number;
}

/** Octets of a blob while they are read. */
export type ReadChunks = (range: ByteRange) => AsyncIterable<Uint8Array>;

/** Octets that may still be kept of one message. */
export interface Room {
  bytes: number;
}

/** What a first pass found. */
export interface Counted {
  readonly size: number;
  readonly hasNul: boolean;
  /** All of them, when there was room. */
  readonly kept: Uint8Array | undefined;
}

/** Nobody knows how to decode the part (RFC 3516 §4.3). */
export class UnknownEncoding extends MairustError {
  constructor(label: string) {
    super("not_built", `Cannot decode ${label}: its transfer encoding is unknown`, {
      publicText: `The transfer encoding of ${label} is unknown`,
    });
  }
}

/**
 * @param row  with its structure, and its prefix for the whole message
 * @returns undefined when there is no such part
 * @throws {UnknownEncoding}
 */
export function decodedOf(item: BinaryItem, row: MessageRow): Decoded | undefined {
  const { path, label, partial } = item;
  const start = partial?.offset ?? 0;
  const end = partial === undefined ? Number.POSITIVE_INFINITY : start + partial.length;
  const none = new Uint8Array(0);
  if (path.length === 0) {
    const range = { start: 0, end: row.blobSizeBytes };
    return { prefix: row.prefix ?? none, range, encoding: "", start, end };
  }
  const part = findEncodedPart(row.structure ?? none, path);
  if (part === undefined) return undefined;
  if (!isTransferEncoding(part.encoding)) throw new UnknownEncoding(label);
  return { prefix: none, range: part.range, encoding: part.encoding, start, end };
}

/** The octets that are wanted. Reads no further than that. */
export async function* decodedChunks(decoded: Decoded, read: ReadChunks): AsyncIterable<Uint8Array> {
  let at = 0;
  for await (const chunk of wholeChunks(decoded, read)) {
    const from = Math.max(decoded.start - at, 0);
    const to = Math.min(decoded.end - at, chunk.length);
    at += chunk.length;
    if (from < to) yield chunk.subarray(from, to);
    if (at >= decoded.end) return;
  }
}

async function* wholeChunks(
  { prefix, range, encoding }: Decoded,
  read: ReadChunks,
): AsyncIterable<Uint8Array> {
  yield prefix;
  const decoder = new TransferDecoder(encoding);
  for await (const chunk of read(range)) yield decoder.write(chunk);
  yield decoder.end();
}

/** @param room  what is kept is taken from it */
export async function countDecoded(decoded: Decoded, read: ReadChunks, room: Room): Promise<Counted> {
  let size = 0;
  let hasNul = false;
  let kept: Uint8Array[] | undefined = [];
  for await (const chunk of decodedChunks(decoded, read)) {
    size += chunk.length;
    hasNul ||= chunk.includes(0);
    if (size > room.bytes) kept = undefined;
    // Decoders hand out pieces of larger buffers.
    kept?.push(Uint8Array.from(chunk));
  }
  if (kept === undefined) return { size, hasNul, kept };
  room.bytes -= size;
  return { size, hasNul, kept: Buffer.concat(kept) };
}
