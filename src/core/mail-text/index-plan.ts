/**
 * What is read of a stored message for the index behind IMAP's SEARCH: what SEARCH itself would read, and the part that its preview is
 * made of. Pure. What fails: `data_invalid` for a structure that cannot be read.
 */
import { type PackedPart, unpackStructure } from "../mime/packed.ts";
import { INPUT_BYTES_MAX, PREVIEW_BYTES_MAX, ROOT_HEADER_BYTES_MAX, SEGMENTS_MAX } from "./limits.ts";
import { type TextSegment, textSegments } from "./segments.ts";

/** Octets `[start, end)` of the blob and what they are; `root`: the message's own header; `prefix`: not in the blob, but in front of it. */
export interface IndexPiece extends Omit<TextSegment, "kind"> {
  readonly kind: TextSegment["kind"] | "root" | "prefix";
  /** The preview is made of it. */
  readonly preview?: "plain" | "html";
}

export interface IndexPlan {
  readonly pieces: readonly IndexPiece[];
  /** False: something is left out, and the pieces are good for a preview only. */
  readonly complete: boolean;
}

/** @param packed  `packStructure` made it @param headerBytes  octets of the root header @throws {MairustError} `data_invalid` */
export function planIndex(packed: Uint8Array, headerBytes: number): IndexPlan {
  const shown = shownPart(unpackStructure(packed).parts);
  const segments = textSegments(packed);
  const octets = segments.reduce((sum, { start, end }) => sum + end - start, headerBytes);
  if (octets <= INPUT_BYTES_MAX && headerBytes <= ROOT_HEADER_BYTES_MAX && segments.length <= SEGMENTS_MAX) {
    const root: IndexPiece = { kind: "root", start: 0, end: headerBytes, encoding: "", charset: "" };
    const texts = segments.map(each =>
      each.start === shown?.start ? { ...each, ...previewOf(shown) } : each,
    );
    return { pieces: headerBytes === 0 ? texts : [root, ...texts], complete: true };
  }
  if (shown === undefined) return { pieces: [], complete: false };
  const end = Math.min(shown.end, shown.start + PREVIEW_BYTES_MAX);
  return { pieces: [{ ...shown, end }], complete: false };
}

const previewOf = ({ preview }: IndexPiece) => (preview === undefined ? {} : { preview });

/** The first text that a reader shows: plain where there is one. */
function shownPart(parts: readonly PackedPart[]): IndexPiece | undefined {
  const texts = parts.filter(({ isText, bodyStart, bodyEnd }) => isText && bodyEnd > bodyStart);
  const html = (part: PackedPart) => part.mediaType === "text/html";
  const part = texts.find(each => !html(each)) ?? texts[0];
  if (part === undefined) return undefined;
  const { bodyStart: start, bodyEnd: end, encoding, charset } = part;
  return { kind: "text", start, end, encoding, charset, preview: html(part) ? "html" : "plain" };
}
