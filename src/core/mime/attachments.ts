/**
 * The attachment list of a message: every leaf that is not its text, and every attached message as one. Names are
 * decoded and made harmless to show and to save. Pure; fails never.
 */
import { trimText } from "./byte-text.ts";
import { parameterValue } from "./content-fields.ts";
import { decodeHeaderValue } from "./header.ts";
import { FILENAME_BYTES_MAX } from "./limits.ts";
import { decodeRfc2231 } from "./rfc2231.ts";
import type { Attachment, ByteText, MimePart, Parameter } from "./structure.ts";

/** Detached signatures (RFC 1847): shown by no client as a file. Only these, so that nothing can hide behind `signed`. */
export const SIGNATURE_TYPES: ReadonlySet<string> = new Set([
  "application/pgp-signature",
  "application/pkcs7-signature",
  "application/x-pkcs7-signature",
]);

/** Explicit direction marks: they let `exe.gpj` show as `jpg.exe`. */
const BIDI_MARKS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function decodedParameter(params: readonly Parameter[], name: string): string | undefined {
  const extended = parameterValue(params, `${name}*`);
  if (extended !== undefined) return decodeRfc2231(extended);
  const plain = parameterValue(params, name);
  // RFC 2047 §5 forbids encoded words here; most mailers write them all the same.
  return plain === undefined ? undefined : decodeHeaderValue(plain);
}

/** Cut to at most `max` UTF-8 octets, on a code point boundary. */
function cutUtf8(text: string, max: number): string {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= max) return text;
  let end = max;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

function harmlessName(name: string): string | undefined {
  const base = name.split(/[/\\]/).at(-1) ?? "";
  const shown = base
    .replace(/[\x00-\x1f\x7f-\x9f]/g, "")
    .replace(BIDI_MARKS, "")
    .trim();
  return shown === "" || shown === "." || shown === ".." ? undefined : cutUtf8(shown, FILENAME_BYTES_MAX);
}

/**
 * The decoded file name of a part (RFC 2183 `filename`, else `name` of its type), or undefined.
 * Directory parts, controls and bidi marks are removed; at most `FILENAME_BYTES_MAX` UTF-8 octets.
 */
export function partFilename(part: Pick<MimePart, "disposition" | "params">): string | undefined {
  const name =
    decodedParameter(part.disposition?.params ?? [], "filename") ?? decodedParameter(part.params, "name");
  return name === undefined ? undefined : harmlessName(name);
}

/** True for text the reader shows: text/plain or text/html, no file name, not marked as attachment. */
export function isTextLeaf(part: MimePart): boolean {
  const isText = part.type === "text" && (part.subtype === "plain" || part.subtype === "html");
  return (
    isText &&
    part.kind === "leaf" &&
    part.disposition?.type !== "attachment" &&
    partFilename(part) === undefined
  );
}

function bareId(value: ByteText | undefined): string | undefined {
  if (value === undefined) return undefined;
  const text = trimText(value).replace(/^</, "").replace(/>$/, "");
  return text === "" ? undefined : decodeHeaderValue(text);
}

function toAttachment(part: MimePart, path: readonly number[], index: number): Attachment {
  return {
    index,
    path,
    filename: partFilename(part),
    mediaType: part.declaredType ?? `${part.type}/${part.subtype}`,
    sizeBytes: part.bodyEnd - part.bodyStart,
    disposition: part.disposition?.type,
    contentId: bareId(part.contentId),
  };
}

function collect(part: MimePart, path: readonly number[], out: Attachment[]): void {
  if (part.kind !== "multipart") {
    if (!isTextLeaf(part)) out.push(toAttachment(part, path, out.length));
    return;
  }
  part.children.forEach((child, position) => {
    const signature =
      part.subtype === "signed" && position > 0 && SIGNATURE_TYPES.has(`${child.type}/${child.subtype}`);
    if (!signature) collect(child, [...path, position + 1], out);
  });
}

/** The attachments of a message, in its order; an attached message is one, what it holds is not listed. */
export function listAttachments(root: MimePart): readonly Attachment[] {
  const out: Attachment[] = [];
  collect(root, root.kind === "multipart" ? [] : [1], out);
  return out;
}
