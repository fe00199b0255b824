/**
 * The preview of one message: which part it is made of, how much of it is read, and what it says. One code for the job that makes previews
 * beforehand and for FETCH, which makes them when asked: a message has one preview (RFC 8970 §3). Pure.
 */
import type { PackedPart } from "../mime/packed.ts";
import { textOfHtml } from "../permissions-html.ts";
import { planPreview } from "../permissions-preview.ts";
import type { TextSource } from "../permissions-text.ts";
import { decodeTransfer } from "../permissions-transfer.ts";
import { makePreview } from "../preview.ts";
import { decodeUnsure } from "../search-text/guess-charset.ts";
import { PREVIEW_BYTES_MAX } from "./limits.ts";

/**
 * @param parts  all nodes, as `unpackStructure` returns them
 * @returns      with the octets that are read; undefined: nothing is shown, as of an encrypted message
 */
export function previewSource(parts: readonly PackedPart[]): TextSource | undefined {
  const { source } = planPreview(parts);
  if (source === undefined) return undefined;
  const { start, end } = source.range;
  return { ...source, range: { start, end: Math.min(end, start + PREVIEW_BYTES_MAX) } };
}

/** @param octets  those of the source, or more of the same part */
export function previewOfPart(octets: Uint8Array, { kind, encoding, charset = "" }: TextSource): string {
  const isHtml = kind === "html";
  const decoded = decodeTransfer(octets.subarray(0, PREVIEW_BYTES_MAX), encoding) ?? new Uint8Array(0);
  const text = decodeUnsure(decoded, charset, isHtml);
  return makePreview(isHtml ? textOfHtml(text.replaceAll("\u0000", " ")) : text);
}
