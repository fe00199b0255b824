/**
 * Which octets of a blob a text search reads, and how they are encoded: text of parts and headers of messages inside. The
 * root header is not among them (BODY must not find it), nor are MIME headers (or "plain" would find every mail). Pure.
 */
import { unpackStructure } from "../mime/packed.ts";

export interface TextSegment {
  readonly kind: "header" | "text";
  /** Octets `[start, end)` of the blob. */
  readonly start: number;
  readonly end: number;
  /** Content-Transfer-Encoding; "" for headers. */
  readonly encoding: string;
  /** As written, "" for none. */
  readonly charset: string;
}

/** @param packed  the stored structure @returns ascending, without overlaps @throws {MairustError} `data_invalid` */
export function textSegments(packed: Uint8Array): readonly TextSegment[] {
  const segments: TextSegment[] = [];
  let inMessage = false;
  for (const part of unpackStructure(packed).parts) {
    const { headerStart, bodyStart } = part;
    if (inMessage)
      segments.push({ kind: "header", start: headerStart, end: bodyStart, encoding: "", charset: "" });
    // The one child of a message part follows it.
    inMessage = part.kind === "message";
    const readable = part.mediaType.startsWith("text/") || part.mediaType.startsWith("message/");
    if (part.kind !== "leaf" || !readable) continue;
    const { encoding, charset } = part;
    segments.push({ kind: "text", start: part.bodyStart, end: part.bodyEnd, encoding, charset });
  }
  return segments.filter(each => each.end > each.start).sort((a, b) => a.start - b.start);
}
