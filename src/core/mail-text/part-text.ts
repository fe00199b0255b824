/**
 * One part's header or text on its way from octets to a sink: transfer encoding undone, turned into characters block by block. Where
 * blocks end depends on the octets alone, not on how they come, since what a charset is guessed to be may depend on the block. Pure,
 * in bounded memory.
 */
import { textPieces } from "../mime/charset.ts";
import type { Steps } from "../steps.ts";
import { feedHeaderInSteps } from "./header-fields.ts";
import type { TextSegment } from "./segments.ts";
import type { TextSink } from "./sink.ts";
import { type TransferDecoder, transferDecoder } from "./transfer-decoder.ts";

/** Octets of decoded text that are turned into characters at a time, cut at a line end where there is one. */
const BLOCK_BYTES = 65_536;
const LF = 10;

export class PartText {
  readonly #segment: TextSegment;
  readonly #sink: TextSink;
  readonly #decoder: TransferDecoder;
  #held: Buffer[] = [];
  #heldBytes = 0;

  constructor(segment: TextSegment, sink: TextSink) {
    this.#segment = segment;
    this.#sink = sink;
    this.#decoder = transferDecoder(segment.encoding);
  }

  /** Each step gives the sink a block at most. */
  *add(raw: Buffer): Steps<void> {
    for (let at = 0; at < raw.length; at += BLOCK_BYTES) {
      const decoded = this.#decoder.add(raw.subarray(at, at + BLOCK_BYTES));
      this.#held.push(decoded);
      this.#heldBytes += decoded.length;
      if (this.#heldBytes >= BLOCK_BYTES) yield* this.#flushBlocks();
    }
  }

  *end(): Steps<void> {
    yield* this.#flushBlocks();
    yield* this.#show(this.#take());
    this.#sink.cut();
  }

  #take(): Buffer {
    const held = Buffer.concat(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    return held;
  }

  *#flushBlocks(): Steps<void> {
    let held = this.#take();
    while (held.length >= BLOCK_BYTES) {
      // At a line end no multi-octet character of a mail charset is cut and ISO-2022-JP is back in ASCII (RFC 1468).
      const lineEnd = held.lastIndexOf(LF, BLOCK_BYTES - 1) + 1;
      const end = lineEnd === 0 ? BLOCK_BYTES : lineEnd;
      yield* this.#show(held.subarray(0, end));
      held = held.subarray(end);
    }
    this.#held = [held];
    this.#heldBytes = held.length;
  }

  *#show(block: Buffer): Steps<void> {
    if (block.length === 0) return;
    if (this.#segment.kind === "header") return yield* feedHeaderInSteps(block, this.#sink);
    for (const piece of textPieces(block, this.#segment.charset)) {
      this.#sink.add(piece);
      yield;
    }
  }
}
