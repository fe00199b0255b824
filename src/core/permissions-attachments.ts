/**
 * What is said of one attachment: its names and sizes, by its own header. Pure; reading header and content is the caller's
 * (`hooks/attachments.ts`).
 */
import type { SentAttachment } from "../wire/hook-payload.ts";
import { partFilename } from "./mime/attachments.ts";
import { parseDisposition, parseMediaType } from "./mime/content-fields.ts";
import { decodeHeaderValue, headerFields, unfold } from "./mime/header.ts";
import type { PackedPart } from "./mime/packed.ts";
import { ownCopy } from "./permissions-text.ts";
import { cutUtf8 } from "./utf8-cut.ts";

/** Of a Content-ID, in bytes of UTF-8. */
const MAX_CONTENT_ID_BYTES = 255;
/** Octets of a part's header that are read: as many as the scanner keeps of a field. */
export const MAX_PART_HEADER_BYTES = 64 * 1024;

/** The start of an attachment, and the digest of all of it. */
export interface AttachmentStart {
  /** Lower-case hex SHA-256 of the decoded octets. */
  readonly sha256: string;
  /** Base64 of the first decoded octets. */
  readonly preview: string;
  readonly truncated: boolean;
}

/** What was read of an attachment: as much as the grants need. */
export interface AttachmentFacts {
  readonly names: AttachmentNames;
  /** Present iff `read_attachments` ≥ preview. */
  readonly start?: AttachmentStart;
  /** Present iff `read_attachments` = full. Base64 of all of it; null: too large for a payload. */
  readonly content?: string | null;
}

export type AttachmentNames = Pick<
  SentAttachment,
  "index" | "filename" | "content_type" | "size_bytes" | "disposition" | "content_id"
>;

/**
 * @param header  of the part, raw
 * @param index   its place among the attachments, from 0
 */
export function attachmentNames(part: PackedPart, header: Uint8Array, index: number): AttachmentNames {
  const value = new Map<string, Uint8Array>();
  for (const field of headerFields(header)) {
    // Of repeated fields the first counts, as everywhere.
    if (WANTED.has(field.name) && !value.has(field.name)) value.set(field.name, field.value);
  }
  const type = parseMediaType(text(value.get("content-type")));
  const disposition = parseDisposition(text(value.get("content-disposition")));
  const filename = partFilename({ params: type?.params ?? [], disposition });
  return {
    index,
    filename: filename === undefined ? null : ownCopy(filename),
    content_type: type === undefined ? part.mediaType : ownCopy(`${type.type}/${type.subtype}`),
    size_bytes: part.bodyEnd - part.bodyStart,
    disposition: disposition === undefined ? null : ownCopy(disposition.type),
    content_id: contentId(value.get("content-id")),
  };
}

const WANTED: ReadonlySet<string> = new Set(["content-type", "content-disposition", "content-id"]);

function text(value: Uint8Array | undefined): string {
  return value === undefined ? "" : unfold(value);
}

/** Without its angle brackets. */
function contentId(value: Uint8Array | undefined): string | null {
  if (value === undefined) return null;
  const id = decodeHeaderValue(value)
    .replace(/\p{Cc}/gu, " ")
    .trim()
    .replace(/^</, "")
    .replace(/>$/, "");
  return id === "" ? null : ownCopy(cutUtf8(id, MAX_CONTENT_ID_BYTES));
}
