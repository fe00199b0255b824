/**
 * BODY and TEXT of a SEARCH: one pass over the blob, part by part, decoded as its header says, in bounded memory.
 * The slow way, and the exact one: IMAP wants substrings. Fails as the blob store fails.
 */
import { decodeText } from "../../core/mime/charset.ts";
import type { BlobStore } from "../../core/ports/blobs.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import { startRead } from "./blob-reader.ts";
import { StreamMatcher } from "./fold.ts";
import { HeaderText } from "./header-text.ts";
import type { ContentKey } from "./search-evaluate.ts";
import { type TextSegment, textSegments } from "./text-segments.ts";
import { type TransferDecoder, transferDecoder } from "./transfer-decoder.ts";

/** Octets of decoded text that are turned into characters at a time, cut at a line end where there is one. */
const BLOCK_BYTES = 65_536;
const LF = 10;

/**
 * @param row     with structure
 * @param header  prefix and root header; needed when a key wants the header too
 * @returns the keys that match
 */
export async function scanContent(
  blobs: BlobStore,
  row: MessageRow,
  header: HeaderText | undefined,
  keys: readonly ContentKey[],
): Promise<ReadonlySet<ContentKey>> {
  const inHeader = new StreamMatcher(keys.filter(key => key.withHeader).map(key => key.text));
  header?.feed(inHeader);
  const open = keys.filter(key => !(key.withHeader && inHeader.has(key.text)));
  const inBody = new StreamMatcher(open.map(key => key.text));
  await scanBody(blobs, row, inBody);
  return new Set(keys.filter(key => !open.includes(key) || inBody.has(key.text)));
}

async function scanBody(blobs: BlobStore, row: MessageRow, matcher: StreamMatcher): Promise<void> {
  const segments = textSegments(row.structure ?? new Uint8Array(0));
  const [first] = segments;
  if (first === undefined || matcher.done) return;
  const end = segments.reduce((last, each) => Math.max(last, each.end), 0);
  const walker = new SegmentWalker(segments, first.start, matcher);
  const read = await startRead(blobs, row.blob, { start: first.start, end });
  for await (const chunk of read.chunks()) {
    walker.add(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    if (matcher.done) break;
  }
  walker.end();
}

/** Hands each stretch of the blob to the segment it belongs to. Segments ascend and do not overlap. */
class SegmentWalker {
  readonly #segments: readonly TextSegment[];
  readonly #matcher: StreamMatcher;
  #at: number;
  #next = 0;
  #current: SegmentText | undefined;

  constructor(segments: readonly TextSegment[], start: number, matcher: StreamMatcher) {
    this.#segments = segments;
    this.#at = start;
    this.#matcher = matcher;
  }

  add(chunk: Buffer): void {
    const chunkEnd = this.#at + chunk.length;
    for (;;) {
      const segment = this.#segments[this.#next];
      if (segment === undefined || segment.start >= chunkEnd) break;
      this.#current ??= new SegmentText(segment, this.#matcher);
      const from = Math.max(segment.start, this.#at) - this.#at;
      const to = Math.min(segment.end, chunkEnd) - this.#at;
      this.#current.add(chunk.subarray(from, to));
      if (segment.end > chunkEnd) break;
      this.end();
      this.#next += 1;
    }
    this.#at = chunkEnd;
  }

  end(): void {
    this.#current?.end();
    this.#current = undefined;
  }
}

/** One part header or text part on its way into the matcher. */
class SegmentText {
  readonly #segment: TextSegment;
  readonly #matcher: StreamMatcher;
  readonly #decoder: TransferDecoder;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(segment: TextSegment, matcher: StreamMatcher) {
    this.#segment = segment;
    this.#matcher = matcher;
    this.#decoder = transferDecoder(segment.encoding);
  }

  add(raw: Buffer): void {
    for (let at = 0; at < raw.length; at += BLOCK_BYTES) {
      const decoded = this.#decoder.add(raw.subarray(at, at + BLOCK_BYTES));
      this.#held.push(decoded);
      this.#heldBytes += decoded.length;
      if (this.#heldBytes >= BLOCK_BYTES) this.#flush(false);
    }
  }

  end(): void {
    this.#flush(true);
    this.#matcher.cut();
  }

  #flush(last: boolean): void {
    const held = Buffer.concat(this.#held);
    // At a line end no multi-octet character of a mail charset is cut and ISO-2022-JP is back in ASCII (RFC 1468).
    const lineEnd = held.lastIndexOf(LF) + 1;
    const cut = last || lineEnd === 0 ? held.length : lineEnd;
    this.#held = cut < held.length ? [held.subarray(cut)] : [];
    this.#heldBytes = held.length - cut;
    const block = held.subarray(0, cut);
    if (this.#segment.kind === "header") new HeaderText(block).feed(this.#matcher);
    else this.#matcher.add(decodeText(block, this.#segment.charset));
  }
}
