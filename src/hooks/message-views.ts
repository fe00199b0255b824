/**
 * What hooks read of a message, for step 3: as much as the grants need, and read once for all hooks and recipients of a transaction.
 *
 * Reads that are under way are shared. What they gave is kept with the message while it is small: of texts and of attachments at most
 * `MAX_KEPT_BYTES` each (large contents are read again for the next call, which has its own room in
 * `limits.payload_bytes_in_flight`), the preview, and the decoded header fields. All of it is forgotten with the message.
 */

import { type PackedPart, unpackStructure } from "../core/mime/packed.ts";
import type { MessageView, ReadParts } from "../core/permissions.ts";
import type { AttachmentFacts } from "../core/permissions-attachments.ts";
import type { Grants } from "../core/permissions-grants.ts";
import { HeaderView } from "../core/permissions-headers.ts";
import { planPreview, previewBytes, previewOf } from "../core/permissions-preview.ts";
import {
  bodyPartOf,
  MAX_BODY_DECODED_BYTES,
  MAX_BODY_READ_BYTES,
  sourceOf,
} from "../core/permissions-text.ts";
import { partsOf } from "../core/permissions-walk.ts";
import type { MessageContent, MessageFacts } from "../core/ports/hooks.ts";
import { readDecoded } from "../core/read-decoded.ts";
import { utf8Length } from "../core/utf8-cut.ts";
import { type BodyPart, MAX_BODY_BYTES } from "../wire/hook-payload.ts";
import { type AttachmentLevel, readAttachments } from "./attachments.ts";

/** Octets of one kind of content that are kept with a message after the read that gave them. */
export const MAX_KEPT_BYTES = 256 * 1024;

type Preview = NonNullable<MessageView["preview"]>;

/** What was read of one message, or is being read. */
interface Reads {
  readonly headers: HeaderView;
  readonly preview: SharedRead<Preview>;
  readonly texts: SharedRead<ReadParts<BodyPart>>;
  readonly attachments: Map<AttachmentLevel, SharedRead<ReadParts<AttachmentFacts>>>;
}

export class MessageViews {
  readonly #reads = new WeakMap<MessageContent, Reads>();

  headers(facts: MessageFacts): HeaderView {
    return this.#of(facts).headers;
  }

  /**
   * Read what the grants allow, no more.
   * @throws {MairustError} `blob_missing`, `blob_damaged`, `data_invalid` (the stored structure)
   */
  async view(facts: MessageFacts, grants: Grants): Promise<MessageView> {
    const reads = this.#of(facts);
    const { read_body: body, read_attachments: level } = grants;
    return {
      facts,
      headers: reads.headers,
      preview: body === "none" ? undefined : await reads.preview.get(() => readPreview(facts)),
      texts: body === "full" ? await reads.texts.get(() => readTexts(facts)) : undefined,
      attachments:
        level === "none" ? undefined : await readOf(reads, level).get(() => readFiles(facts, level)),
    };
  }

  #of(facts: MessageFacts): Reads {
    const known = this.#reads.get(facts.content);
    if (known !== undefined) return known;
    const fresh: Reads = {
      headers: new HeaderView(facts.header),
      preview: new SharedRead(() => 0),
      texts: new SharedRead(bytesOfTexts),
      attachments: new Map(),
    };
    this.#reads.set(facts.content, fresh);
    return fresh;
  }
}

/** Each level is read for itself: who is granted names alone is never handed more. */
function readOf({ attachments }: Reads, level: AttachmentLevel): SharedRead<ReadParts<AttachmentFacts>> {
  const known = attachments.get(level) ?? new SharedRead<ReadParts<AttachmentFacts>>(bytesOfAttachments);
  attachments.set(level, known);
  return known;
}

/** One read for all who ask while it runs, and for all who ask later if its result is small. A failure is not kept. */
class SharedRead<T> {
  #value: Promise<T> | undefined;
  readonly #bytesOf: (value: T) => number;

  constructor(bytesOf: (value: T) => number) {
    this.#bytesOf = bytesOf;
  }

  get(read: () => Promise<T>): Promise<T> {
    if (this.#value !== undefined) return this.#value;
    const reading = read();
    this.#value = reading;
    const forget = () => {
      if (this.#value === reading) this.#value = undefined;
    };
    reading.then(value => {
      if (this.#bytesOf(value) > MAX_KEPT_BYTES) forget();
    }, forget);
    return reading;
  }
}

function bytesOfTexts({ list }: ReadParts<BodyPart>): number {
  return list.reduce((sum, part) => sum + 128 + 2 * part.text.length, 0);
}

function bytesOfAttachments({ list }: ReadParts<AttachmentFacts>): number {
  return list.reduce(
    (sum, { names, start, content }) =>
      sum +
      256 +
      2 * (names.filename?.length ?? 0) +
      names.content_type.length +
      (names.content_id?.length ?? 0) +
      (start?.preview.length ?? 0) +
      (content?.length ?? 0),
    0,
  );
}

/**
 * @returns all nodes; undefined when the body is not here, or its structure was lost: then header and body cannot be told apart, and
 * nothing may be read as a part
 */
function partsToRead({ content, structure }: MessageFacts): readonly PackedPart[] | undefined {
  if (content.digest === "") return undefined;
  const { parts } = unpackStructure(structure);
  const root = parts[0];
  return root === undefined || (root.bodyStart === 0 && root.bodyEnd > 0) ? undefined : parts;
}

async function readPreview(facts: MessageFacts): Promise<Preview> {
  const parts = partsToRead(facts);
  if (parts === undefined) return { body: null, mimeTruncated: true };
  const { source, mimeTruncated } = planPreview(parts);
  if (source === undefined) return { body: null, mimeTruncated };
  return {
    body: previewOf(await readDecoded(facts.content, source, previewBytes(source)), source),
    mimeTruncated,
  };
}

async function readTexts(facts: MessageFacts): Promise<ReadParts<BodyPart>> {
  const all = partsToRead(facts);
  if (all === undefined) return { list: [], mimeTruncated: true };
  const { parts, truncated } = partsOf("text", all);
  const list: BodyPart[] = [];
  let left = MAX_BODY_BYTES;
  for (const part of parts) {
    // Of what has no room left nothing is read, but that it is there.
    const source = sourceOf(part, left === 0 ? 0 : MAX_BODY_READ_BYTES);
    const text = bodyPartOf(await readDecoded(facts.content, source, MAX_BODY_DECODED_BYTES), source, left);
    left -= utf8Length(text.text);
    list.push(text);
  }
  return { list, mimeTruncated: truncated };
}

async function readFiles(facts: MessageFacts, level: AttachmentLevel): Promise<ReadParts<AttachmentFacts>> {
  const parts = partsToRead(facts);
  return parts === undefined ? { list: [], mimeTruncated: true } : readAttachments(facts, parts, level);
}
