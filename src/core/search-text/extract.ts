/**
 * The text of one message that search looks at: subject, addresses, attachment names and body, decoded and folded. Runs in a process of
 * its own (`jobs/extract-process.ts`), because only that can be ended. Pure, linear in its input, fails never.
 */
import { partFilename } from "../mime/attachments.ts";
import { parseDisposition, parseMediaType } from "../mime/content-fields.ts";
import { decodeHeaderValue, headerFields, unfold } from "../mime/header.ts";
import { textOfHtml } from "../permissions-html.ts";
import { decodeTransfer } from "../permissions-transfer.ts";
import { cutUtf8 } from "../utf8-cut.ts";
import { foldSearchText } from "./fold.ts";
import { type Grams, gramsOf } from "./grams.ts";
import { decodeUnsure } from "./guess-charset.ts";
import { TEXT_BYTES_MAX } from "./limits.ts";
import type { Piece } from "./plan.ts";

/** Fields whose text people search for: what the message is called, and who wrote it to whom. */
const SEARCHED_FIELDS: ReadonlySet<string> = new Set([
  "subject",
  "from",
  "sender",
  "reply-to",
  "to",
  "cc",
  "bcc",
]);

export interface SearchText {
  /** Folded fields, one per line. */
  readonly folded: string;
  /** Of `folded`: ascending, each once. */
  readonly grams: Int32Array;
  /** The text was longer. */
  readonly cut: boolean;
}

/** A piece with its octets; they may end early. */
export interface ReadPiece extends Piece {
  readonly bytes: Uint8Array;
}

/** @param pieces  of `planSearchText`, in its order */
export function extractSearchText(pieces: readonly ReadPiece[]): SearchText {
  const lines = new Lines();
  for (const piece of pieces) {
    if (lines.full) break;
    if (piece.kind === "header") addFields(lines, piece.bytes);
    if (piece.kind === "header" || piece.kind === "part") addName(lines, piece.bytes);
    else addText(lines, piece);
  }
  return searchTextOf(lines.text, lines.full);
}

/** What is left when nothing else could be read: texts that were decoded at delivery. */
export function fallbackSearchText(texts: readonly string[]): SearchText {
  const lines = new Lines();
  for (const text of texts) lines.add(text);
  return searchTextOf(lines.text, lines.full);
}

function searchTextOf(text: string, full: boolean): SearchText {
  const { grams, length }: Grams = gramsOf(text);
  return { folded: text.slice(0, length), grams, cut: full || length < text.length };
}

/** Folded fields, as long as there is room. */
class Lines {
  full = false;
  #left = TEXT_BYTES_MAX;
  readonly #lines: string[] = [];

  get text(): string {
    return this.#lines.join("\n");
  }

  add(text: string): void {
    const folded = foldSearchText(text);
    if (folded === "" || this.full) return;
    const kept = cutUtf8(folded, this.#left);
    this.full = kept.length < folded.length;
    if (kept !== "") this.#lines.push(kept);
    this.#left = Math.max(0, this.#left - Buffer.byteLength(kept) - 1);
  }
}

function addFields(lines: Lines, block: Uint8Array): void {
  const fields = [...headerFields(block)].filter(field => SEARCHED_FIELDS.has(field.name));
  // The subject first, wherever it stands.
  for (const field of fields) if (field.name === "subject") lines.add(fieldText(field.value));
  for (const field of fields) if (field.name !== "subject") lines.add(fieldText(field.value));
}

/** Encoded words, or raw octets of some charset (RFC 2047 forbids them; old mailers in Japan send them). */
function fieldText(value: Uint8Array): string {
  const isRaw = value.some(octet => octet > 0x7f) && !Buffer.from(value).includes("=?");
  return isRaw ? decodeUnsure(value, "", false) : decodeHeaderValue(value);
}

function addName(lines: Lines, block: Uint8Array): void {
  let params: NonNullable<ReturnType<typeof parseMediaType>>["params"] = [];
  let disposition: ReturnType<typeof parseDisposition>;
  for (const field of headerFields(block)) {
    if (field.name === "content-type") params = parseMediaType(unfold(field.value))?.params ?? params;
    else if (field.name === "content-disposition") {
      disposition = parseDisposition(unfold(field.value)) ?? disposition;
    }
  }
  const name = partFilename({ params, disposition });
  if (name !== undefined) lines.add(name);
}

function addText(lines: Lines, piece: ReadPiece): void {
  const octets = decodeTransfer(piece.bytes, piece.encoding);
  if (octets === undefined) return;
  const isHtml = piece.kind === "html";
  const text = decodeUnsure(octets, piece.charset, isHtml);
  lines.add(isHtml ? textOfHtml(text.replaceAll("\u0000", " ")) : text);
}
