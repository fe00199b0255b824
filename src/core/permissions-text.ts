/**
 * Text parts as plugins see them: where their octets lie, and what they say. Pure; reading the octets is the caller's
 * (`hooks/message-views.ts`). Octets that do not decode become U+FFFD, never an error.
 */
import { type BodyPart, MAX_BODY_PART_BYTES } from "../wire/hook-payload.ts";
import { decodeTextNamed } from "./mime/charset.ts";
import type { PackedPart } from "./mime/packed.ts";
import { cutJson } from "./permissions-json.ts";
import type { ByteRange } from "./ports/blobs.ts";
import { cutUtf8 } from "./utf8-cut.ts";

/** Encoded octets of one part that are read for `body`: quoted-printable takes three for one, and its line breaks. */
export const MAX_BODY_READ_BYTES = 4 * MAX_BODY_PART_BYTES;
/** Decoded octets of it that are looked at: UTF-16 takes two for a letter. */
export const MAX_BODY_DECODED_BYTES = 2 * MAX_BODY_PART_BYTES;
/** Longest charset name that is passed on. */
const MAX_CHARSET = 64;

export interface TextSource {
  readonly kind: "plain" | "html";
  readonly encoding: string;
  readonly charset: string | undefined;
  /** Octets of the message to read. */
  readonly range: ByteRange;
  /** The part is longer than `range`. */
  readonly cut: boolean;
}

/** @param maxBytes  encoded octets to read at most */
export function sourceOf(part: PackedPart, maxBytes: number): TextSource {
  const end = Math.min(part.bodyEnd, part.bodyStart + maxBytes);
  return {
    kind: part.mediaType === "text/html" ? "html" : "plain",
    encoding: part.encoding,
    charset: part.charset === "" ? undefined : part.charset.slice(0, MAX_CHARSET),
    range: { start: part.bodyStart, end },
    cut: end < part.bodyEnd,
  };
}

export interface DecodedText {
  /** Line ends LF, without BOM and NUL. */
  readonly text: string;
  readonly charset: string;
  /** There was more. */
  readonly cut: boolean;
}

/** Octets of a part with the transfer encoding undone. */
export interface DecodedOctets {
  readonly octets: Uint8Array;
  /** There was more. */
  readonly cut: boolean;
}

/** @param read  of `source.range` */
export function decodeTextPart({ octets, cut }: DecodedOctets, source: TextSource): DecodedText {
  const { text, charset } = decodeTextNamed(cut ? wholeUtf8(octets) : octets, source.charset ?? "");
  const clean = text
    .replace(/^\ufeff/, "")
    .replaceAll("\u0000", "")
    .replace(/\r\n?/g, "\n");
  // Half a character at a cut of ours is no broken octet of theirs.
  return { text: cut ? clean.replace(/\ufffd$/, "") : clean, charset, cut };
}

/**
 * One part of `body`.
 * @param read      of `source.range`, at most `MAX_BODY_DECODED_BYTES`
 * @param maxBytes  of text that are left for this call
 */
export function bodyPartOf(read: DecodedOctets, source: TextSource, maxBytes: number): BodyPart {
  const part = decodeTextPart(read, source);
  const most = Math.min(maxBytes, MAX_BODY_PART_BYTES);
  const text = ownCopy(cutJson(cutUtf8(part.text, most), JSON_GROWTH * MAX_BODY_PART_BYTES));
  return {
    type: source.kind === "html" ? "text/html" : "text/plain",
    text,
    truncated: part.cut || text.length < part.text.length,
    charset_declared: source.charset ?? null,
    charset_used: part.charset,
  };
}

/**
 * How much longer than its UTF-8 a text may be in JSON: line breaks and quotes take two octets for one. Controls take six, and a text
 * that is made of them is cut.
 */
export const JSON_GROWTH = 2;

/** A cut string keeps the whole one in memory: this one does not. */
export function ownCopy(text: string): string {
  return Buffer.from(text, "utf8").toString("utf8");
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
