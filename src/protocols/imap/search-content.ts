/**
 * BODY and TEXT of a SEARCH: one pass over the blob, part by part, decoded as its header says, in bounded memory.
 * The slow way, and the exact one: IMAP wants substrings. Fails as the blob store fails.
 */
import { feedHeaderInSteps } from "../../core/mail-text/header-fields.ts";
import { StreamMatcher } from "../../core/mail-text/matcher.ts";
import { PartText } from "../../core/mail-text/part-text.ts";
import { type TextSegment, textSegments } from "../../core/mail-text/segments.ts";
import type { BlobStore } from "../../core/ports/blobs.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import type { Steps } from "../../core/steps.ts";
import { inSlices } from "../../platform/slices.ts";
import { startRead } from "./blob-reader.ts";
import type { ContentKey } from "./search-evaluate.ts";

/**
 * @param row     with structure
 * @param header  prefix and root header; empty when no key wants the header too
 * @returns the keys that match
 */
export async function scanContent(
  blobs: BlobStore,
  row: MessageRow,
  header: Uint8Array,
  keys: readonly ContentKey[],
  gone: AbortSignal,
): Promise<ReadonlySet<ContentKey>> {
  const inHeader = new StreamMatcher(keys.filter(key => key.withHeader).map(key => key.text));
  await inSlices(looking(feedHeaderInSteps(header, inHeader), inHeader), gone);
  const open = keys.filter(key => !(key.withHeader && inHeader.has(key.text)));
  const inBody = new StreamMatcher(open.map(key => key.text));
  await scanBody(blobs, row, inBody, gone);
  return new Set(keys.filter(key => !open.includes(key) || inBody.has(key.text)));
}

/** What comes is looked at as it comes. */
function* looking(steps: Steps<void>, matcher: StreamMatcher): Steps<void> {
  while (steps.next().done !== true && !matcher.done) {
    yield;
    yield* matcher.look();
  }
  yield* matcher.look();
}

async function scanBody(
  blobs: BlobStore,
  row: MessageRow,
  matcher: StreamMatcher,
  gone: AbortSignal,
): Promise<void> {
  const segments = textSegments(row.structure ?? new Uint8Array(0));
  const [first] = segments;
  if (first === undefined || matcher.done) return;
  const end = segments.reduce((last, each) => Math.max(last, each.end), 0);
  const walker = new SegmentWalker(segments, first.start, matcher);
  const read = await startRead(blobs, row.blob, { start: first.start, end });
  for await (const chunk of read.chunks()) {
    const octets = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    await inSlices(looking(walker.add(octets), matcher), gone);
    if (matcher.done) break;
  }
  await inSlices(looking(walker.end(), matcher), gone);
}

/** Hands each stretch of the blob to the segment it belongs to. Segments ascend and do not overlap. */
class SegmentWalker {
  readonly #segments: readonly TextSegment[];
  readonly #matcher: StreamMatcher;
  #at: number;
  #next = 0;
  #current: PartText | undefined;

  constructor(segments: readonly TextSegment[], start: number, matcher: StreamMatcher) {
    this.#segments = segments;
    this.#at = start;
    this.#matcher = matcher;
  }

  *add(chunk: Buffer): Steps<void> {
    const chunkEnd = this.#at + chunk.length;
    for (;;) {
      const segment = this.#segments[this.#next];
      if (segment === undefined || segment.start >= chunkEnd) break;
      this.#current ??= new PartText(segment, this.#matcher);
      const from = Math.max(segment.start, this.#at) - this.#at;
      const to = Math.min(segment.end, chunkEnd) - this.#at;
      yield* this.#current.add(chunk.subarray(from, to));
      if (segment.end > chunkEnd) break;
      yield* this.end();
      this.#next += 1;
    }
    this.#at = chunkEnd;
  }

  *end(): Steps<void> {
    const current = this.#current;
    this.#current = undefined;
    if (current !== undefined) yield* current.end();
  }
}
