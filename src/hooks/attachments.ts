/**
 * Attachments of a message for step 3: their headers, their starts, digests and contents, as far as the grant goes. Streamed: of an
 * attachment no more is held than what is sent. Fails as the message's content fails.
 */
import { createHash } from "node:crypto";
import type { PackedPart } from "../core/mime/packed.ts";
import {
  type AttachmentFacts,
  type AttachmentNames,
  attachmentNames,
  MAX_PART_HEADER_BYTES,
} from "../core/permissions-attachments.ts";
import { TransferDecoder } from "../core/permissions-transfer.ts";
import { partsOf } from "../core/permissions-walk.ts";
import type { MessageFacts } from "../core/ports/hooks.ts";
import {
  ATTACHMENT_PREVIEW_BYTES,
  MAX_ATTACHMENT_BYTES,
  MAX_ATTACHMENTS_BYTES,
} from "../wire/hook-payload.ts";
import type { ReadAttachments } from "../wire/permissions.ts";
import { readSegments, type Segment } from "./read-segments.ts";

export type AttachmentLevel = Exclude<ReadAttachments, "none">;

/**
 * @param parts  all nodes of the message
 * @throws {MairustError} `blob_missing`, `blob_damaged`
 */
export async function readAttachments(
  facts: MessageFacts,
  parts: readonly PackedPart[],
  level: AttachmentLevel,
): Promise<{ readonly list: readonly AttachmentFacts[]; readonly mimeTruncated: boolean }> {
  const found = partsOf("attachment", parts);
  const budget = { left: MAX_ATTACHMENTS_BYTES };
  const readers = found.parts.map((part, index) => new AttachmentReader(part, index, facts, level, budget));
  await readSegments(
    facts.content,
    readers.flatMap(reader => reader.segments),
  );
  return { list: readers.map(reader => reader.facts), mimeTruncated: found.truncated };
}

/** Octets of whole contents that may still be kept for the call. */
interface Budget {
  left: number;
}

class AttachmentReader {
  readonly segments: readonly Segment[];
  readonly #part: PackedPart;
  readonly #index: number;
  #names: AttachmentNames | undefined;
  #body: BodyReader | undefined;

  constructor(part: PackedPart, index: number, facts: MessageFacts, level: AttachmentLevel, budget: Budget) {
    this.#part = part;
    this.#index = index;
    const header = this.#headerSegment(facts.header);
    if (level !== "metadata") this.#body = new BodyReader(part, level === "full" ? budget : undefined);
    this.segments = [header, this.#body].filter(segment => segment !== undefined);
  }

  get facts(): AttachmentFacts {
    const names = this.#names ?? attachmentNames(this.#part, new Uint8Array(0), this.#index);
    return { names, ...this.#body?.result };
  }

  /** @returns undefined when the header is here already: it is the message's own */
  #headerSegment(own: Uint8Array): Segment | undefined {
    const { headerStart: start, bodyStart } = this.#part;
    const take = (header: Uint8Array) => {
      this.#names = attachmentNames(this.#part, header, this.#index);
    };
    if (start === 0) {
      take(own);
      return undefined;
    }
    const pieces: Uint8Array[] = [];
    return {
      range: { start, end: Math.min(bodyStart, start + MAX_PART_HEADER_BYTES) },
      write: octets => pieces.push(Buffer.from(octets)),
      end: () => take(Buffer.concat(pieces)),
    };
  }
}

/** Decodes the body of one part as it comes: hashes all, keeps the start, and all while it is small enough. */
class BodyReader implements Segment {
  readonly range: Segment["range"];
  readonly #decoder: TransferDecoder;
  readonly #hash = createHash("sha256");
  readonly #budget: Budget | undefined;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #bytes = 0;
  #result: Omit<AttachmentFacts, "names"> = {};

  /** @param budget  of contents; undefined: only the start is kept */
  constructor(part: PackedPart, budget: Budget | undefined) {
    this.range = { start: part.bodyStart, end: part.bodyEnd };
    this.#decoder = new TransferDecoder(part.encoding);
    this.#budget = budget;
  }

  get result(): Omit<AttachmentFacts, "names"> {
    return this.#result;
  }

  write(octets: Uint8Array): void {
    this.#take(this.#decoder.write(octets));
  }

  end(): void {
    this.#take(this.#decoder.end());
    const all = Buffer.concat(this.#kept);
    this.#kept = [];
    const whole = this.#budget !== undefined && this.#bytes <= this.#most;
    if (whole && this.#budget !== undefined) this.#budget.left -= all.length;
    this.#result = {
      start: {
        sha256: this.#hash.digest("hex"),
        preview: all.toString("base64", 0, ATTACHMENT_PREVIEW_BYTES),
        truncated: this.#bytes > ATTACHMENT_PREVIEW_BYTES,
      },
      ...(this.#budget === undefined ? {} : { content: whole ? all.toString("base64") : null }),
    };
  }

  /** Octets of the content that may be sent. */
  get #most(): number {
    return this.#budget === undefined ? 0 : Math.min(MAX_ATTACHMENT_BYTES, this.#budget.left);
  }

  #take(decoded: Uint8Array): void {
    this.#hash.update(decoded);
    this.#bytes += decoded.length;
    // What is too large to be sent whole shrinks to its start.
    const most = this.#bytes <= this.#most ? this.#most : ATTACHMENT_PREVIEW_BYTES;
    if (this.#keptBytes > most) {
      this.#kept = [Buffer.from(Buffer.concat(this.#kept).subarray(0, most))];
      this.#keptBytes = most;
    }
    const room = Math.min(most - this.#keptBytes, decoded.length);
    if (room <= 0) return;
    this.#kept.push(Buffer.from(decoded.subarray(0, room)));
    this.#keptBytes += room;
  }
}
