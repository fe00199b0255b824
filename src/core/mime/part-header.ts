/**
 * From the header of a part to what the part is: its fields, its effective type, and whether the scanner enters it.
 * Whatever cannot be entered becomes a leaf, so that every BODYSTRUCTURE made of the tree is valid (RFC 3501 §9: a
 * multipart has at least one child). Fails never.
 */

import {
  type MediaType,
  parameterValue,
  parseDisposition,
  parseEncoding,
  parseLanguages,
  parseMediaType,
} from "./content-fields.ts";
import type { HeaderReader } from "./header-reader.ts";
import type { EnvelopeFields, MimePart } from "./structure.ts";

/** A part that is still being scanned. */
export type PartDraft = { -readonly [K in keyof MimePart]: MimePart[K] } & { children: PartDraft[] };

export function newPart(headerStart: number): PartDraft {
  return {
    kind: "leaf",
    type: "text",
    subtype: "plain",
    declaredType: undefined,
    params: [],
    contentId: undefined,
    description: undefined,
    encoding: undefined,
    md5: undefined,
    disposition: undefined,
    language: [],
    location: undefined,
    headerStart,
    bodyStart: headerStart,
    bodyEnd: headerStart,
    lines: undefined,
    children: [],
    envelope: undefined,
  };
}

/** Encodings under which a message is not readable in place. RFC 2046 §5.2.1 forbids them for message/rfc822; they occur. */
const TRANSFORMED: ReadonlySet<string> = new Set([
  "base64",
  "quoted-printable",
  "uuencode",
  "x-uuencode",
  "uue",
  "x-uue",
  "x-gzip64",
]);

const TEXT_PLAIN: MediaType = { type: "text", subtype: "plain", params: [] };
const MESSAGE_RFC822: MediaType = { type: "message", subtype: "rfc822", params: [] };

/** What the scanner does with the body of a part. */
export type BodyPlan =
  /** `limited`: it would have been entered but for a limit. */
  | { readonly kind: "leaf"; readonly limited: boolean }
  | { readonly kind: "multipart"; readonly boundary: string }
  | { readonly kind: "message" };

const LEAF: BodyPlan = { kind: "leaf", limited: false };

function readEnvelope(reader: HeaderReader): EnvelopeFields {
  return {
    date: reader.value("date"),
    subject: reader.value("subject"),
    from: reader.value("from"),
    sender: reader.value("sender"),
    replyTo: reader.value("reply-to"),
    to: reader.value("to"),
    cc: reader.value("cc"),
    bcc: reader.value("bcc"),
    inReplyTo: reader.value("in-reply-to"),
    messageId: reader.value("message-id"),
  };
}

function planOf(type: MediaType, encoding: string | undefined): BodyPlan {
  if (type.type === "multipart") {
    // Kept as written, white space at its end too: RFC 2046 §5.1.1 forbids that, and who writes it means it.
    const boundary = parameterValue(type.params, "boundary") ?? "";
    return boundary === "" || boundary.includes("\n") ? LEAF : { kind: "multipart", boundary };
  }
  // RFC 6532 §3.7: message/global is nested in the same way.
  const isMessage = type.type === "message" && (type.subtype === "rfc822" || type.subtype === "global");
  if (!isMessage || TRANSFORMED.has(encoding?.toLowerCase() ?? "")) return LEAF;
  return { kind: "message" };
}

/**
 * Fill a part from its header.
 *
 * @param part      gets all fields but offsets, lines and children
 * @param reader    the finished header
 * @param inDigest  the parent is multipart/digest: no Content-Type means message/rfc822 (RFC 2046 §5.1.5)
 * @param mayEnter  false at a limit: what would have children becomes an opaque leaf
 */
export function applyHeader(
  part: PartDraft,
  reader: HeaderReader,
  inDigest: boolean,
  mayEnter: boolean,
): BodyPlan {
  const contentType = reader.value("content-type");
  const declared = contentType === undefined ? undefined : parseMediaType(contentType);
  const fallback = contentType === undefined && inDigest ? MESSAGE_RFC822 : TEXT_PLAIN;
  const media = declared ?? fallback;
  const disposition = reader.value("content-disposition");
  const language = reader.value("content-language");
  part.declaredType = declared === undefined ? undefined : `${declared.type}/${declared.subtype}`;
  part.type = media.type;
  part.subtype = media.subtype;
  part.params = media.params;
  part.contentId = reader.value("content-id");
  part.description = reader.value("content-description");
  part.encoding = parseEncoding(reader.value("content-transfer-encoding") ?? "");
  part.md5 = reader.value("content-md5");
  part.disposition = disposition === undefined ? undefined : parseDisposition(disposition);
  part.language = language === undefined ? [] : parseLanguages(language);
  part.location = reader.value("content-location");
  if (reader.role !== "part") part.envelope = readEnvelope(reader);
  const plan = planOf(media, part.encoding);
  if (plan.kind !== "leaf" && mayEnter) {
    part.kind = plan.kind;
    return plan;
  }
  const limited = plan.kind !== "leaf";
  makeLeaf(part, limited);
  return { kind: "leaf", limited };
}

/**
 * Make sure that a part without children does not claim a type that needs some.
 *
 * @param opaque  entered would be possible but for a limit: nothing is said of the content
 */
export function makeLeaf(part: PartDraft, opaque: boolean): void {
  part.kind = "leaf";
  const isMultipart = part.type === "multipart";
  const isMessage = part.type === "message" && part.subtype === "rfc822";
  if (!isMultipart && !isMessage) return;
  // A multipart that holds no part is text somebody can still read; an encoded or too deep one is bytes (RFC 2045 §6.4).
  const asText = isMultipart && !opaque;
  part.type = asText ? "text" : "application";
  part.subtype = asText ? "plain" : "octet-stream";
  part.params = part.params.filter(param => param.name !== "boundary");
}
