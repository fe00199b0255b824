/**
 * The body preview: which part it comes from, and its text. Finding the part and decoding it are pure; reading the octets
 * between the two is the caller's (`hooks/message-views.ts`).
 *
 * The first `text/plain` leaf, depth first, not into `message/rfc822`, only the first part of `multipart/signed`, nothing of
 * an encrypted message; with only HTML, text derived from it.
 */
import { type BodyPreview, MAX_PREVIEW_BYTES } from "../wire/hook-payload.ts";
import type { PackedPart } from "./mime/packed.ts";
import { textOfHtml } from "./permissions-html.ts";
import {
  type DecodedOctets,
  decodeTextPart,
  ownCopy,
  sourceOf,
  type TextSource,
} from "./permissions-text.ts";
import { VisibleParts } from "./permissions-walk.ts";
import { cutUtf8 } from "./utf8-cut.ts";

/** Encoded octets of the part that are read. */
export const MAX_PREVIEW_READ_BYTES = 256 * 1024;
/** Decoded octets of plain text that are looked at: eight times what is sent, room for any charset. HTML is read whole. */
const MAX_PLAIN_BYTES = 8 * MAX_PREVIEW_BYTES;

export interface PreviewPlan {
  /** Undefined: there is no text to preview. */
  readonly source: TextSource | undefined;
  readonly mimeTruncated: boolean;
}

/**
 * Find the part that the preview is taken from.
 * @param parts  all nodes, parents before children, as `unpackStructure` returns them
 */
export function planPreview(parts: readonly PackedPart[]): PreviewPlan {
  const walk = new VisibleParts();
  let html: PackedPart | undefined;
  for (const part of parts) {
    if (walk.enter(part) !== "text") continue;
    if (part.mediaType === "text/plain") {
      return { source: sourceOf(part, MAX_PREVIEW_READ_BYTES), mimeTruncated: walk.truncated };
    }
    html ??= part;
  }
  return { source: html && sourceOf(html, MAX_PREVIEW_READ_BYTES), mimeTruncated: walk.truncated };
}

/** Decoded octets of the part that are needed. */
export function previewBytes({ kind }: TextSource): number {
  return kind === "html" ? MAX_PREVIEW_READ_BYTES : MAX_PLAIN_BYTES;
}

/** @param read  of `source.range`, at most {@link previewBytes} */
export function previewOf(read: DecodedOctets, source: TextSource): BodyPreview {
  const part = decodeTextPart(read, source);
  const full = source.kind === "html" ? textOfHtml(part.text) : part.text;
  const text = ownCopy(cutUtf8(full, MAX_PREVIEW_BYTES));
  return {
    text,
    truncated: part.cut || text.length < full.length,
    source: source.kind,
    charset_declared: source.charset ?? null,
    charset_used: part.charset,
    decode_errors: text.split("\ufffd").length - 1,
  };
}
