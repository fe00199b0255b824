/** Reads what a plan wants of a blob, in one pass, into memory that can be handed to a thread. Fails as the blob store fails. */
import type { Deadline } from "../core/deadline.ts";
import type { BlobDigest } from "../core/ids.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { ExtractRequest, Placed } from "./extract-protocol.ts";

/** Octets `[start, end)` of the blob. */
interface Stretch {
  readonly start: number;
  readonly end: number;
}

/**
 * @param pieces  as many octets together as their plan allows; those that the blob does not have are zero
 * @throws {MairustError} `blob_missing`, `blob_damaged`, `deadline`
 */
export async function readPieces<Piece extends Stretch>(
  blobs: BlobStore,
  digest: BlobDigest,
  pieces: readonly Piece[],
  deadline: Deadline,
): Promise<ExtractRequest<Piece>> {
  const placed: Placed<Piece>[] = [];
  let size = 0;
  for (const piece of pieces) {
    const length = piece.end - piece.start;
    placed.push({ ...piece, at: size, length });
    size += length;
  }
  const octets = new Uint8Array(size);
  const open = [...placed].sort((a, b) => a.start - b.start);
  const start = open[0]?.start ?? 0;
  const end = open.reduce((last, piece) => Math.max(last, piece.end), 0);
  if (end === 0) return { octets, pieces: placed };
  let at = start;
  let first = 0;
  for await (const chunk of blobs.get(digest, { start, end })) {
    deadline.signal.throwIfAborted();
    const chunkEnd = at + chunk.length;
    while ((open[first]?.end ?? chunkEnd) < at) first++;
    for (let i = first; i < open.length; i++) {
      const piece = open[i];
      if (piece === undefined || piece.start >= chunkEnd) break;
      const from = Math.max(piece.start, at);
      const to = Math.min(piece.end, chunkEnd);
      if (to > from) octets.set(chunk.subarray(from - at, to - at), piece.at + from - piece.start);
    }
    at = chunkEnd;
  }
  return { octets, pieces: placed };
}
