/**
 * The body preview: which part it comes from, and its text. Finding the part and decoding it are pure; reading the octets
 * between the two is the caller's (`hooks/message-view.ts`).
 *
 * The first `text/plain` leaf, depth first, not into `message/rfc822`, only the first part of `multipart/signed`, nothing of
 * an encrypted message; with only HTML, text derived from it.
 */
import { type BodyPreview, MAX_PREVIEW_BYTES } from "../wire/hook-payload.ts";
import { decodeTextNamed } from "./mime/charset.ts";
import type { PackedPart } from "./mime/packed.ts";
import { textOfHtml } from "./permissions-html.ts";
import { decodeTransfer } from "./permissions-transfer.ts";
import type { ByteRange } from "./ports/blobs.ts";
import { cutUtf8 } from "./utf8-cut.ts";

/** Payloads stop here, whatever the scanner knows. */
export const MAX_PAYLOAD_DEPTH = 20;
export const MAX_PAYLOAD_PARTS = 1000;
/** Encoded octets of the part that are read. */
export const MAX_PREVIEW_READ_BYTES = 256 * 1024;
/** Decoded octets of plain text that are looked at: eight times what is sent, room for any charset. HTML is read whole. */
const MAX_PLAIN_BYTES = 8 * MAX_PREVIEW_BYTES;

export interface PreviewSource {
  readonly kind: "plain" | "html";
  readonly encoding: string | undefined;
  readonly charset: string | undefined;
  /** Octets of the message to read. */
  readonly range: ByteRange;
  /** The part is longer than `range`. */
  readonly cut: boolean;
}

export interface PreviewPlan {
  /** Undefined: there is no text to preview. */
  readonly source: PreviewSource | undefined;
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
    if (!walk.enter(part) || !part.isText || decodeTransfer(new Uint8Array(0), part.encoding) === undefined)
      continue;
    if (part.mediaType === "text/plain") return { source: sourceOf(part), mimeTruncated: walk.truncated };
    html ??= part;
  }
  return { source: html && sourceOf(html), mimeTruncated: walk.truncated };
}

/** Follows the tree through its flat list, and says which nodes belong to the message that the recipient reads. */
class VisibleParts {
  truncated = false;
  #parts = 0;
  /** Open multiparts, outermost first. */
  readonly #open: Array<{ readonly part: PackedPart; children: number }> = [];
  /** Nodes before this octet lie in a subtree that is not looked into. */
  #hiddenUntil = -1;

  enter(part: PackedPart): boolean {
    if (part.headerStart < this.#hiddenUntil) return false;
    while (this.#open.length > 0 && part.headerStart >= (this.#open.at(-1)?.part.bodyEnd ?? 0))
      this.#open.pop();
    const parent = this.#open.at(-1);
    const isSignature = parent?.part.mediaType === "multipart/signed" && parent.children > 0;
    if (parent !== undefined) parent.children++;
    const tooMuch = this.#open.length >= MAX_PAYLOAD_DEPTH || ++this.#parts > MAX_PAYLOAD_PARTS;
    this.truncated ||= tooMuch;
    if (tooMuch || isSignature || part.kind === "message" || part.mediaType === "multipart/encrypted") {
      this.#hiddenUntil = part.bodyEnd;
      return false;
    }
    if (part.kind === "multipart") this.#open.push({ part, children: 0 });
    return true;
  }
}

function sourceOf(part: PackedPart): PreviewSource {
  const end = Math.min(part.bodyEnd, part.bodyStart + MAX_PREVIEW_READ_BYTES);
  return {
    kind: part.mediaType === "text/html" ? "html" : "plain",
    encoding: part.encoding,
    charset: part.charset === "" ? undefined : part.charset.slice(0, 64),
    range: { start: part.bodyStart, end },
    cut: end < part.bodyEnd,
  };
}

/** @param octets  of the message, `source.range` */
export function previewOf(octets: Uint8Array, source: PreviewSource): BodyPreview {
  const decoded = decodeTransfer(octets, source.encoding) ?? new Uint8Array(0);
  const wanted = source.kind === "html" ? decoded : decoded.subarray(0, MAX_PLAIN_BYTES);
  const cut = source.cut || wanted.length < decoded.length;
  const bytes = cut ? wholeUtf8(wanted) : wanted;
  const { text: read, charset } = decodeTextNamed(bytes, source.charset ?? "");
  const clean = read
    .replace(/^\ufeff/, "")
    .replaceAll("\u0000", "")
    .replace(/\r\n?/g, "\n");
  const full = source.kind === "html" ? textOfHtml(clean) : clean;
  const text = cutUtf8(full, MAX_PREVIEW_BYTES);
  return {
    text,
    truncated: cut || text.length < full.length,
    source: source.kind,
    charset_declared: source.charset ?? null,
    charset_used: charset,
    decode_errors: text.split("\ufffd").length - 1,
  };
}

/** Drop an incomplete UTF-8 sequence at the end (RFC 3629 §3): a cut must not make valid text look like another charset. */
function wholeUtf8(bytes: Uint8Array): Uint8Array {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const octet = bytes[bytes.length - back] ?? 0;
    if (octet < 0x80) return bytes;
    if (octet >= 0xc0) {
      const needed = octet >= 0xf0 ? 4 : octet >= 0xe0 ? 3 : 2;
      return needed > back ? bytes.subarray(0, bytes.length - back) : bytes;
    }
  }
  return bytes;
}
