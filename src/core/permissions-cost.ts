/**
 * How large a payload can become, told before anything of the message is read: the hook manager takes that much of
 * `limits.payload_bytes_in_flight` first, so that calls which wait hold no payload.
 */
import {
  ATTACHMENT_PREVIEW_BYTES,
  MAX_ATTACHMENT_BYTES,
  MAX_ATTACHMENTS_BYTES,
  MAX_BODY_BYTES,
  MAX_BODY_PART_BYTES,
  MAX_HEADER_FIELDS,
  MAX_HEADERS_BYTES,
  MAX_PAYLOAD_BYTES,
  MAX_PREVIEW_BYTES,
} from "../wire/hook-payload.ts";
import { type PackedPart, unpackStructure } from "./mime/packed.ts";
import type { Grants } from "./permissions-grants.ts";
import { JSON_GROWTH } from "./permissions-text.ts";
import { partsOf } from "./permissions-walk.ts";
import type { MessageFacts } from "./ports/hooks.ts";

/** Octets of JSON for the worst octet: an escape such as \u0001. */
const MAX_ESCAPE = 6;
/** Octets of UTF-8 for one octet of another charset. */
const MAX_UTF8_GROWTH = 3;
/** The call's own fields, and keys and punctuation of all sections. Provenance is the host's and small; settings are counted with the hook. */
const FIXED_BYTES = 16 * 1024;
/** Keys and punctuation of one header field, one text and one attachment; names of an attachment at their longest. */
const HEADER_FIELD_BYTES = 32;
const TEXT_BYTES = 640;
const ATTACHMENT_BYTES = 512;
const MAX_ATTACHMENT_NAMES = 2048;

/**
 * @returns an upper bound of the payload's octets, as far as they come from the message
 * @throws {MairustError} `data_invalid`: the stored structure is damaged
 */
export function payloadCost(facts: MessageFacts, grants: Grants): number {
  const headers = grants.read_headers === false ? 0 : headerCost(facts);
  const preview = grants.read_body === "none" ? 0 : previewCost(facts);
  const needsParts = grants.read_body === "full" || grants.read_attachments !== "none";
  const parts = needsParts ? unpackStructure(facts.structure).parts : [];
  const body = grants.read_body === "full" ? bodyCost(parts) : 0;
  const attachments = attachmentsCost(parts, grants.read_attachments);
  return Math.min(FIXED_BYTES + headers + preview + body + attachments, MAX_PAYLOAD_BYTES);
}

function headerCost(facts: MessageFacts): number {
  const { header, client } = facts;
  const values = Math.min(header.length * MAX_UTF8_GROWTH, MAX_HEADERS_BYTES) * JSON_GROWTH;
  const fields = Math.min(Math.ceil(header.length / 2), MAX_HEADER_FIELDS) * HEADER_FIELD_BYTES;
  const words = [
    facts.mailFrom,
    facts.queueId,
    facts.authUser ?? "",
    facts.account ?? "",
    facts.threadKey ?? "",
    client.address ?? "",
    client.name ?? "",
    client.helo ?? "",
    ...facts.recipients,
    ...(facts.domainRecipients ?? []),
    ...facts.tags,
  ];
  return values + fields + words.reduce((sum, word) => sum + word.length * MAX_ESCAPE + 3, 0);
}

function previewCost(facts: MessageFacts): number {
  return Math.min(facts.sizeBytes * MAX_UTF8_GROWTH, MAX_PREVIEW_BYTES) * MAX_ESCAPE + TEXT_BYTES;
}

function bodyCost(all: readonly PackedPart[]): number {
  const { parts } = partsOf("text", all);
  const texts = parts.map(({ bodyStart, bodyEnd }) =>
    Math.min((bodyEnd - bodyStart) * MAX_ESCAPE + MAX_ESCAPE, JSON_GROWTH * MAX_BODY_PART_BYTES),
  );
  return Math.min(sum(texts), MAX_ESCAPE * MAX_BODY_BYTES) + parts.length * TEXT_BYTES;
}

function attachmentsCost(all: readonly PackedPart[], level: Grants["read_attachments"]): number {
  if (level === "none") return 0;
  const { parts } = partsOf("attachment", all);
  const names = parts.map(part =>
    Math.min(ATTACHMENT_BYTES + (part.bodyStart - part.headerStart) * MAX_ESCAPE, MAX_ATTACHMENT_NAMES),
  );
  const sizes = parts.map(part => part.bodyEnd - part.bodyStart);
  const starts =
    level === "metadata" ? [] : sizes.map(size => base64Bytes(Math.min(size, ATTACHMENT_PREVIEW_BYTES)));
  const contents =
    level === "full" ? sizes.map(size => base64Bytes(Math.min(size, MAX_ATTACHMENT_BYTES))) : [];
  const most = base64Bytes(MAX_ATTACHMENTS_BYTES) + 4 * parts.length;
  return sum(names) + sum(starts) + Math.min(sum(contents), most);
}

function base64Bytes(octets: number): number {
  return 4 * Math.ceil(octets / 3);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
