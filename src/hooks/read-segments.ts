/**
 * Reads stretches of a message in one pass, in order, and hands the octets on as they come: nothing is held, and what lies between
 * two stretches is not read unless it is short. Fails as the message's content fails.
 */
import type { ByteRange } from "../core/ports/blobs.ts";
import type { MessageContent } from "../core/ports/hooks.ts";

/** One stretch, and who takes it. */
export interface Segment {
  readonly range: ByteRange;
  /** The octets are only lent. */
  write(octets: Uint8Array): void;
  /** All of it came. */
  end(): void;
}

/** Octets between two stretches that are rather read than asked for apart: a block of the blob store. */
const GAP_BYTES = 64 * 1024;

/**
 * @param segments  ascending, not overlapping
 * @throws {MairustError} `blob_missing`, `blob_damaged`
 */
export async function readSegments(content: MessageContent, segments: readonly Segment[]): Promise<void> {
  let run: Segment[] = [];
  for (const segment of segments) {
    const last = run.at(-1);
    if (last !== undefined && segment.range.start - last.range.end > GAP_BYTES) {
      await readRun(content, run);
      run = [];
    }
    run.push(segment);
  }
  await readRun(content, run);
}

async function readRun(content: MessageContent, run: readonly Segment[]): Promise<void> {
  const start = run[0]?.range.start ?? 0;
  const end = run.at(-1)?.range.end ?? 0;
  let next = 0;
  let at = start;
  if (end > start) {
    for await (const chunk of content.read({ start, end })) {
      next = deliver(run, next, at, chunk);
      at += chunk.length;
    }
  }
  for (const segment of run.slice(next)) segment.end();
}

/** @returns the first segment of the run that is not complete */
function deliver(run: readonly Segment[], from: number, at: number, chunk: Uint8Array): number {
  const chunkEnd = at + chunk.length;
  let next = from;
  for (let segment = run[next]; segment !== undefined; segment = run[next]) {
    const { start, end } = segment.range;
    const octets = chunk.subarray(Math.max(start, at) - at, Math.max(Math.min(end, chunkEnd), at) - at);
    if (octets.length > 0) segment.write(octets);
    if (end > chunkEnd) break;
    segment.end();
    next++;
  }
  return next;
}
