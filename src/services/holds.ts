/** Use cases on held mail: list, show with a safe preview, release, reject, delete. */
import type { ChangeOptions } from "../core/admin-ports.ts";
import { unpackStructure } from "../core/mime/packed.ts";
import { HeaderView, type SentHeader } from "../core/permissions-headers.ts";
import { planPreview, previewBytes, previewOf } from "../core/permissions-preview.ts";
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
  const { source } = planPreview(unpackStructure(content.structure).parts);
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
  };
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
  return audited(ports, entry, asked, () => ports.releases.release({ ...asked, by: HOST_ADMINISTRATOR }));
}

/** @throws {MairustError} see `Releases.reject` */
export function rejectHeld(
  ports: ServicePorts,
  id: string,
  options: ChangeOptions & Actor,
): Promise<HeldRecord> {
  const entry = { actor: options.who, action: "held.reject", object: id, detail: {} };
  return audited(ports, entry, options, () => ports.releases.reject(id, HOST_ADMINISTRATOR, options));
}

/** @throws {MairustError} `not_found`, `invalid_state` */
export function deleteHeld(
  ports: ServicePorts,
  id: string,
  options: ChangeOptions & Actor,
): Promise<HeldRecord> {
  const entry = { actor: options.who, action: "held.delete", object: id, detail: {} };
  return audited(ports, entry, options, () =>
    ports.holds.end(id, "deleted", HOST_ADMINISTRATOR.name, options),
  );
}

/** Who comes over the UNIX socket: its file mode is the access control. */
const HOST_ADMINISTRATOR: Approver = { name: "administrator", user: undefined };
