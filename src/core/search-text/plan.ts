/**
 * What is read of a stored message for search: headers and text parts, by the offsets of its stored structure. Pure.
 * What fails: `data_invalid` for a structure that cannot be read.
 */
import { type PackedPart, unpackStructure } from "../mime/packed.ts";
import { HEADER_BYTES_MAX, INPUT_BYTES_MAX, PART_HEADERS_MAX, TEXT_PARTS_MAX } from "./limits.ts";

/** Octets `[start, end)` of the blob and what they are. */
export interface Piece {
  /** `header`: of the message or of one inside it; `part`: of a part, only for its name. */
  readonly kind: "header" | "part" | "text" | "html";
  readonly start: number;
  readonly end: number;
  /** Content-Transfer-Encoding, "" for none and for headers. */
  readonly encoding: string;
  /** As written, "" for none. */
  readonly charset: string;
}

export interface Plan {
  /** In the order in which their text is kept: headers, names, texts that are shown, attached texts. */
  readonly pieces: readonly Piece[];
  /** Something was left out. */
  readonly cut: boolean;
}

/** Text that only programs read. */
const CODE: ReadonlySet<string> = new Set(["text/css", "text/javascript", "text/ecmascript", "text/rtf"]);

/** @param packed  `packStructure` made it. @throws {MairustError} `data_invalid` */
export function planSearchText(packed: Uint8Array): Plan {
  const headers: Piece[] = [];
  const names: Piece[] = [];
  const shown: Piece[] = [];
  const attached: Piece[] = [];
  let inMessage = true;
  for (const part of unpackStructure(packed).parts) {
    (inMessage ? headers : names).push(headerPiece(part, inMessage));
    // The one child of a message part follows it.
    inMessage = part.kind === "message";
    const text = textPiece(part);
    if (text !== undefined) (part.isText ? shown : attached).push(text);
  }
  return withinLimits(headers, names, [...shown, ...attached]);
}

function headerPiece(part: PackedPart, inMessage: boolean): Piece {
  const kind = inMessage ? "header" : "part";
  return { kind, start: part.headerStart, end: part.bodyStart, encoding: "", charset: "" };
}

function textPiece(part: PackedPart): Piece | undefined {
  const { mediaType, kind, bodyStart: start, bodyEnd: end, encoding, charset } = part;
  const isText = mediaType.startsWith("text/") || mediaType.startsWith("message/");
  if (kind !== "leaf" || !isText || CODE.has(mediaType) || end === start) return undefined;
  return { kind: mediaType === "text/html" ? "html" : "text", start, end, encoding, charset };
}

function withinLimits(headers: readonly Piece[], names: readonly Piece[], texts: readonly Piece[]): Plan {
  const wanted = [...[...headers, ...names].slice(0, PART_HEADERS_MAX), ...texts.slice(0, TEXT_PARTS_MAX)];
  let cut = headers.length + names.length > PART_HEADERS_MAX || texts.length > TEXT_PARTS_MAX;
  let left = INPUT_BYTES_MAX;
  const pieces: Piece[] = [];
  for (const piece of wanted) {
    const isHeader = piece.kind === "header" || piece.kind === "part";
    const room = Math.min(left, isHeader ? HEADER_BYTES_MAX : left);
    const end = Math.min(piece.end, piece.start + room);
    cut ||= end < piece.end;
    if (end > piece.start) pieces.push({ ...piece, end });
    left -= end - piece.start;
  }
  return { pieces, cut };
}
