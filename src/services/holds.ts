/** Use cases on held mail: list, show with a safe preview, release, reject, delete. */
import type { ChangeOptions } from "../core/admin-ports.ts";
import { type PackedPart, unpackStructure } from "../core/mime/packed.ts";
import { attachmentNames, MAX_PART_HEADER_BYTES } from "../core/permissions-attachments.ts";
import { HeaderView, type SentHeader } from "../core/permissions-headers.ts";
import { planPreview, previewBytes, previewOf } from "../core/permissions-preview.ts";
import { partsOf } from "../core/permissions-walk.ts";
import type { ByteRange } from "../core/ports/blobs.ts";
import type {
  Approver,
  HeldContent,
  HeldRecord,
  HoldFilter,
  ReleaseAsked,
  ReleaseResult,
} from "../core/ports/hold-admin.ts";
import { readDecoded } from "../core/read-decoded.ts";
import { type Actor, audited } from "./audit.ts";
import { type PageAsked, type PageGiven, pageGiven, pageRequest } from "./paging.ts";
import type { ServicePorts } from "./ports.ts";

/** Of a header block that is too large to be kept with the message. */
const MAX_HEADER_READ_BYTES = 65_536;
/** Attachments that a preview names: each is a read of its header. */
const MAX_SHOWN_ATTACHMENTS = 50;

/** Newest first; without a state those that are open. @throws {MairustError} `address_syntax`, `invalid_argument` */
export async function listHeld(
  ports: ServicePorts,
  filter: HoldFilter,
  asked: PageAsked,
): Promise<PageGiven<HeldRecord>> {
  return pageGiven(await ports.holds.list(filter, pageRequest(asked)));
}

/** Text only: nothing that a browser would run or load. */
export interface HeldPreview {
  readonly headers: readonly SentHeader[];
  readonly headersTruncated: boolean;
  /** Undefined: there is no text. */
  readonly text: string | undefined;
  readonly textTruncated: boolean;
  /** The text was made from HTML. */
  readonly fromHtml: boolean;
  /** Names and sizes, never contents. */
  readonly attachments: readonly HeldAttachment[];
  readonly attachmentsTruncated: boolean;
}

export interface HeldAttachment {
  /** Without folders, controls and marks of direction. */
  readonly filename: string | undefined;
  /** As its sender calls it. */
  readonly contentType: string;
  /** As it stands in the message, encoded. */
  readonly sizeBytes: number;
}

export interface HeldGiven {
  readonly record: HeldRecord;
  /** Undefined: the message is gone. */
  readonly preview: HeldPreview | undefined;
}

/** That somebody looked is recorded. @throws {MairustError} `not_found`, `blob_missing`, `blob_damaged`, `store_unavailable` */
export async function getHeld(ports: ServicePorts, id: string, { who }: Actor): Promise<HeldGiven> {
  const record = await ports.holds.get(id);
  const content = await ports.holds.content(id);
  if (content !== undefined)
    await ports.bodyReads.opened(who, "held.read", id, { message: record.messageId });
  return { record, preview: content === undefined ? undefined : await previewHeld(ports, content) };
}

async function previewHeld(ports: ServicePorts, content: HeldContent): Promise<HeldPreview> {
  const header = content.header ?? (await read(ports, content, { start: 0, end: MAX_HEADER_READ_BYTES }));
  const { fields, truncated } = new HeaderView(header).select(true);
  const { parts } = unpackStructure(content.structure);
  const { source } = planPreview(parts);
  const attached = partsOf("attachment", parts);
  const shown = attached.parts.slice(0, MAX_SHOWN_ATTACHMENTS);
  const stored = { read: (range?: ByteRange) => ports.blobs.get(content.digest, range) };
  const body =
    source === undefined
      ? undefined
      : previewOf(await readDecoded(stored, source, previewBytes(source)), source);
  return {
    headers: fields,
    headersTruncated: truncated || content.headerBytes > header.length,
    text: body?.text,
    textTruncated: body?.truncated ?? false,
    fromHtml: body?.source === "html",
    attachments: await attachmentsOf(ports, content, shown),
    attachmentsTruncated: attached.truncated || attached.parts.length > shown.length,
  };
}

async function attachmentsOf(
  ports: ServicePorts,
  content: HeldContent,
  parts: readonly PackedPart[],
): Promise<readonly HeldAttachment[]> {
  const named: HeldAttachment[] = [];
  for (const [i, part] of parts.entries()) {
    const end = Math.min(part.bodyStart, part.headerStart + MAX_PART_HEADER_BYTES);
    const header = await read(ports, content, { start: part.headerStart, end });
    const { filename, content_type: contentType, size_bytes: sizeBytes } = attachmentNames(part, header, i);
    named.push({ filename: filename ?? undefined, contentType, sizeBytes });
  }
  return named;
}

async function read(
  ports: ServicePorts,
  { digest, sizeBytes }: HeldContent,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of ports.blobs.get(digest, { start, end: Math.min(end, sizeBytes) }))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** @throws {MairustError} see `Releases.release` */
export function releaseHeld(
  ports: ServicePorts,
  asked: Omit<ReleaseAsked, "by">,
  { who }: Actor,
): Promise<ReleaseResult> {
  const detail = asked.to === undefined ? {} : { to: asked.to };
  const entry = { actor: who, action: "held.release", object: asked.id, detail };
  return audited(ports, entry, asked, () => ports.releases.release({ ...asked, by: approverOf(who) }));
}

/** @throws {MairustError} see `Releases.reject` */
export function rejectHeld(
  ports: ServicePorts,
  id: string,
  options: ChangeOptions & Actor,
): Promise<HeldRecord> {
  const entry = { actor: options.who, action: "held.reject", object: id, detail: {} };
  return audited(ports, entry, options, () => ports.releases.reject(id, approverOf(options.who), options));
}

/** @throws {MairustError} `not_found`, `invalid_state` */
export function deleteHeld(
  ports: ServicePorts,
  id: string,
  options: ChangeOptions & Actor,
): Promise<HeldRecord> {
  const entry = { actor: options.who, action: "held.delete", object: id, detail: {} };
  return audited(ports, entry, options, () => ports.holds.end(id, "deleted", ADMINISTRATOR, options));
}

const ADMINISTRATOR = "administrator";

/**
 * Who comes over the UNIX socket: its file mode is the access control. The command line says which user of the host asks, so that nobody
 * decides about mail of their own by mistake.
 */
function approverOf(who: string): Approver {
  const [, user] = /^local:(.+)$/u.exec(who) ?? [];
  return { name: ADMINISTRATOR, user };
}
