/**
 * The large parts of a payload, within `MAX_PAYLOAD_BYTES`: what would exceed it is cut with its own mark, so that no message makes an
 * invalid payload. Names of attachments always fit; then texts, then starts of attachments, then their contents, each in order.
 */
import type { BodyPart, SentAttachment } from "../wire/hook-payload.ts";
import type { AttachmentFacts } from "./permissions-attachments.ts";
import { cutJson, jsonBytes } from "./permissions-json.ts";

/** Octets that are left. */
class Room {
  left: number;

  constructor(bytes: number) {
    this.left = Math.max(0, bytes);
  }

  /** What is sent in any case. */
  spend(bytes: number): void {
    this.left = Math.max(0, this.left - bytes);
  }

  take(bytes: number): boolean {
    if (bytes > this.left) return false;
    this.left -= bytes;
    return true;
  }
}

export interface LargeParts {
  readonly body?: readonly BodyPart[];
  readonly attachments?: readonly AttachmentFacts[];
}

/**
 * @param room   octets of JSON that are left for all of it
 * @param parts  what the grants let through
 */
export function fitted(
  room: number,
  { body, attachments }: LargeParts,
): { body?: BodyPart[]; attachments?: SentAttachment[] } {
  const free = new Room(room);
  const named = attachments?.map(facts => emptyAttachment(facts));
  for (const attachment of named ?? []) free.spend(jsonBytes(attachment) + 1);
  const texts = body?.map(part => fittedText(part, free));
  for (const [i, facts] of (attachments ?? []).entries()) addStart(named?.[i], facts, free);
  for (const [i, facts] of (attachments ?? []).entries()) addContent(named?.[i], facts, free);
  return {
    ...(texts === undefined ? {} : { body: texts }),
    ...(named === undefined ? {} : { attachments: named }),
  };
}

/** All keys that the grants give it, in their order, with the shortest values. */
function emptyAttachment({ names, start, content }: AttachmentFacts): SentAttachment {
  return {
    ...names,
    ...(start === undefined
      ? {}
      : {
          sha256: start.sha256,
          preview_base64: "",
          preview_truncated: start.truncated || start.preview !== "",
        }),
    ...(content === undefined ? {} : { content_base64: null, content_url: null }),
  };
}

function fittedText(part: BodyPart, free: Room): BodyPart {
  free.spend(jsonBytes({ ...part, text: "" }) + 1);
  const text = cutJson(part.text, free.left);
  free.spend(jsonBytes(text) - 2);
  return text.length < part.text.length ? { ...part, text, truncated: true } : part;
}

function addStart(attachment: SentAttachment | undefined, { start }: AttachmentFacts, free: Room): void {
  if (attachment === undefined || start === undefined || !free.take(start.preview.length + 1)) return;
  attachment.preview_base64 = start.preview;
  attachment.preview_truncated = start.truncated;
}

function addContent(attachment: SentAttachment | undefined, { content }: AttachmentFacts, free: Room): void {
  if (attachment === undefined || content === undefined || content === null) return;
  if (free.take(content.length)) attachment.content_base64 = content;
}
