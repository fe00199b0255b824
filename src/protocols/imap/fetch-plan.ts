/**
 * What one FETCH needs and what one message's answer consists of: text, bytes at hand, and ranges of the blob, all with
 * known lengths, so that literal sizes stand before the first octet is read. Pure. Source: RFC 3501 §6.4.5, §7.4.2.
 */
import { MairustError } from "../../core/errors.ts";
import { selectHeaderFields, selectHeaderFieldsInSteps } from "../../core/mime/header.ts";
import { findPart, packedBody, packedBodyStructure, packedEnvelope } from "../../core/mime/packed.ts";
import type { ByteRange } from "../../core/ports/blobs.ts";
import type { MessageRow, RowFields } from "../../core/ports/mailboxes.ts";
import { inSlices, type Slice } from "../../platform/slices.ts";
import { dateTime, quoted } from "./encode.ts";
import { countDecoded, type Decoded, decodedOf, type ReadChunks, type Room } from "./fetch-binary.ts";
import type { FlagItems } from "./fetch-flags.ts";
import { previewText } from "./fetch-preview.ts";
import type { BinaryItem } from "./parse-binary.ts";
import type { FetchItem, SectionItem } from "./parse-fetch.ts";

/** A piece of an answer. */
export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "blob"; readonly range: ByteRange }
  | { readonly kind: "decoded"; readonly decoded: Decoded; readonly size: number };

export interface FetchPlan extends FlagItems {
  readonly items: readonly FetchItem[];
  /** Undefined when the snapshot alone answers. */
  readonly fields: RowFields | undefined;
}

/** How the blob of one message is read before the answer begins. */
export interface BlobReads {
  /** Bytes that must be in memory to select header fields of a part or of a big header; bounded by the caller. */
  readonly bytes: (range: ByteRange) => Promise<Uint8Array>;
  /** What is decoded, a chunk at a time. */
  readonly chunks: ReadChunks;
  /** Most octets of an answer that are in memory before it begins. */
  readonly keptBytes: number;
  /** Of what was decoded. */
  readonly room: Room;
  /** Asked between two items. */
  readonly slice: Slice;
}

/** What no row is needed for. */
const SNAPSHOT_ITEMS: ReadonlySet<FetchItem["kind"]> = new Set<FetchItem["kind"]>(["UID", "FLAGS", "MODSEQ"]);

/** Octets of header blocks of one message in which fields are looked for without a break: two milliseconds if all fields are tiny. */
const SEARCHED_AT_ONCE_BYTES = 16_384;

/** @param uid  true for UID FETCH: the UID is told whether asked or not (RFC 3501 §6.4.8) */
export function planFetch(items: readonly FetchItem[], uid: boolean): FetchPlan {
  const wants = (kind: FetchItem["kind"]) => items.some(item => item.kind === kind);
  const sections = items.filter(item => item.kind === "section");
  const rest = items.filter(item => !SNAPSHOT_ITEMS.has(item.kind));
  const binaries = items.filter(item => item.kind === "binary");
  const nested = [...sections, ...binaries].some(section => section.path.length > 0);
  const made = items.some(item => item.kind === "PREVIEW" && !item.lazy);
  const structure = nested || made || wants("ENVELOPE") || wants("BODY") || wants("BODYSTRUCTURE");
  const header = sections.some(section => section.path.length === 0 && section.part === "header");
  const prefix =
    binaries.some(({ path }) => path.length === 0) ||
    sections.some(section => (section.path.length === 0 ? section.part !== "text" : section.part === "mime"));
  const objectIds = wants("EMAILID") || wants("THREADID");
  return {
    items: rest,
    uid: uid || wants("UID"),
    flags: wants("FLAGS"),
    modseq: wants("MODSEQ"),
    fields:
      rest.length === 0 ? undefined : { structure, header, prefix, objectIds, preview: wants("PREVIEW") },
  };
}

function tooMuch(): MairustError {
  const publicText = "Too much of one message in one FETCH: ask for fewer items";
  return new MairustError("message_too_large", "Cannot hold an answer: its items have too many octets", {
    publicText,
  });
}

/**
 * The answer's items of one message, UID, FLAGS and MODSEQ excepted, when all that they need is at hand.
 * @param row  with the fields the plan asked for
 * @returns undefined: something must be read first, or takes long
 */
export function piecesAtHand(
  plan: FetchPlan,
  row: MessageRow,
  keptBytes: number,
): readonly Piece[] | undefined {
  const answer = new Answer(keptBytes);
  let searchedBytes = 0;
  for (const item of plan.items) {
    if (item.kind === "binary" || item.kind === "PREVIEW") return undefined;
    if (item.kind !== "section") answer.add(attributePieces(item.kind, row));
    else {
      const block = item.fields === undefined ? undefined : headerAtHand(item, row);
      if (item.fields !== undefined && block === undefined) return undefined;
      searchedBytes += block?.length ?? 0;
      if (searchedBytes > SEARCHED_AT_ONCE_BYTES) return undefined;
      const fields = block && item.fields && selectHeaderFields(block, item.fields.names, item.fields.not);
      answer.add(sectionPieces(item, sectionSource(item, row, fields)));
    }
  }
  return answer.pieces;
}

/**
 * The same with whatever must be read.
 * @param reads  used only for what is not at hand
 * @throws {UnknownEncoding} and what reading the blob throws
 */
export async function readPieces(
  plan: FetchPlan,
  row: MessageRow,
  reads: BlobReads,
): Promise<readonly Piece[]> {
  const answer = new Answer(reads.keptBytes);
  for (const item of plan.items) {
    answer.add(await itemPieces(item, row, reads));
    const turn = reads.slice.over();
    if (turn !== undefined) await turn;
  }
  return answer.pieces;
}

/**
 * Octets at most that the pieces of a message hold until they are sent, its row and what is read of its blob for them apart: known
 * before they are made.
 */
export function heldBytes(
  { items }: FetchPlan,
  row: MessageRow,
  limits: { readonly fetchBytes: number; readonly decodedBytes: number },
): number {
  let bytes = items.some(item => item.kind === "binary" && !item.sizeOnly) ? limits.decodedBytes : 0;
  for (const item of items) {
    if (item.kind !== "section" || item.fields === undefined) continue;
    bytes += item.path.length > 0 ? row.blobSizeBytes : row.headerBytes + (row.prefix?.length ?? 0);
  }
  return Math.min(bytes, limits.fetchBytes);
}

/** Items of one answer, with a space between them. */
class Answer {
  readonly pieces: Piece[] = [];
  readonly #mostBytes: number;
  #keptBytes = 0;

  /** @param mostBytes  octets that are in memory before the answer begins */
  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  add(item: readonly Piece[]): void {
    if (this.pieces.length > 0) this.pieces.push({ kind: "text", text: " " });
    for (const piece of item) {
      this.pieces.push(piece);
      if (piece.kind === "bytes") this.#keptBytes += piece.bytes.length;
    }
    // Each item may have a copy of a large header.
    if (this.#keptBytes > this.#mostBytes) throw tooMuch();
  }
}

async function itemPieces(item: FetchItem, row: MessageRow, reads: BlobReads): Promise<readonly Piece[]> {
  switch (item.kind) {
    case "section":
      return sectionPieces(item, sectionSource(item, row, await readFields(item, row, reads.bytes)));
    case "binary":
      return binaryPieces(item, row, reads);
    case "PREVIEW":
      return previewPieces(await previewText(row, item.lazy, reads.chunks));
    default:
      return attributePieces(item.kind, row);
  }
}

/** Told as they are, or as literal: no quoted string holds what is not ASCII (RFC 8970 §3.2 wants UTF-8). */
function previewPieces(text: string | undefined): readonly Piece[] {
  if (text === undefined) return [{ kind: "text", text: "PREVIEW NIL" }];
  const bytes = Buffer.from(text);
  if (bytes.length === text.length) return [{ kind: "text", text: `PREVIEW ${quoted(text)}` }];
  return [
    { kind: "text", text: `PREVIEW {${bytes.length}}\r\n` },
    { kind: "bytes", bytes },
  ];
}

async function binaryPieces(
  item: BinaryItem,
  row: MessageRow,
  { chunks, room }: BlobReads,
): Promise<readonly Piece[]> {
  if (item.sizeOnly && item.path.length === 0) return sizePiece(item, row.sizeBytes);
  const decoded = decodedOf(item, row);
  if (decoded === undefined)
    return item.sizeOnly ? sizePiece(item, 0) : [{ kind: "text", text: `${item.label} NIL` }];
  const { size, hasNul, kept } = await countDecoded(decoded, chunks, item.sizeOnly ? { bytes: 0 } : room);
  if (item.sizeOnly) return sizePiece(item, size);
  return [
    // RFC 3516 §4.2.1: only a literal8 holds NUL.
    { kind: "text", text: `${item.label} ${hasNul ? "~" : ""}{${size}}\r\n` },
    kept === undefined ? { kind: "decoded", decoded, size } : { kind: "bytes", bytes: kept },
  ];
}

const sizePiece = ({ label }: BinaryItem, size: number): readonly Piece[] => [
  { kind: "text", text: `${label} ${size}` },
];

function attributePieces(
  kind: Exclude<FetchItem["kind"], "section" | "binary" | "PREVIEW">,
  row: MessageRow,
): readonly Piece[] {
  const structure = row.structure ?? new Uint8Array(0);
  switch (kind) {
    case "INTERNALDATE":
      return [{ kind: "text", text: `INTERNALDATE ${dateTime(row.internalDate)}` }];
    case "RFC822.SIZE":
      return [{ kind: "text", text: `RFC822.SIZE ${row.sizeBytes}` }];
    case "ENVELOPE":
      return named("ENVELOPE ", packedEnvelope(structure));
    case "BODY":
      return named("BODY ", packedBody(structure));
    case "BODYSTRUCTURE":
      return named("BODYSTRUCTURE ", packedBodyStructure(structure));
    case "EMAILID":
      return [{ kind: "text", text: `EMAILID (${row.emailId ?? ""})` }];
    case "THREADID":
      return [{ kind: "text", text: `THREADID ${row.threadId == null ? "NIL" : `(${row.threadId})`}` }];
    case "UID":
    case "FLAGS":
    case "MODSEQ":
      return [];
  }
}

function named(name: string, bytes: Uint8Array): readonly Piece[] {
  return [
    { kind: "text", text: name },
    { kind: "bytes", bytes },
  ];
}

/** The octets of a section in order, or undefined when there is no such part. */
type Source = ReadonlyArray<Extract<Piece, { kind: "bytes" | "blob" }>>;

/** The message's header block, when its row has it. */
function headerAtHand(item: SectionItem, { prefix, header }: MessageRow): Uint8Array | undefined {
  if (item.path.length > 0 || header == null) return undefined;
  return Buffer.concat([prefix ?? new Uint8Array(0), header]);
}

/** The fields that are wanted of a header block. @returns undefined: all of it is, or there is no such part */
async function readFields(
  item: SectionItem,
  row: MessageRow,
  read: BlobReads["bytes"],
): Promise<Uint8Array | undefined> {
  if (item.fields === undefined) return undefined;
  const block = headerAtHand(item, row) ?? (await readHeaderBlock(item, row, read));
  if (block === undefined) return undefined;
  return inSlices(selectHeaderFieldsInSteps(block, item.fields.names, item.fields.not));
}

async function readHeaderBlock(
  item: SectionItem,
  row: MessageRow,
  read: BlobReads["bytes"],
): Promise<Uint8Array | undefined> {
  if (item.path.length === 0)
    return Buffer.concat([row.prefix ?? new Uint8Array(0), await read({ start: 0, end: row.headerBytes })]);
  const range = nestedRange(item, row);
  return range === undefined ? undefined : read(range);
}

function nestedRange(item: SectionItem, row: MessageRow): ByteRange | undefined {
  const section = item.part === "all" ? "body" : item.part;
  return findPart(row.structure ?? new Uint8Array(0), item.path, section);
}

/** @param fields  what was selected of a header block, for an item that wants some fields */
function sectionSource(
  item: SectionItem,
  row: MessageRow,
  fields: Uint8Array | undefined,
): Source | undefined {
  if (item.fields !== undefined) return fields === undefined ? undefined : [{ kind: "bytes", bytes: fields }];
  if (item.path.length > 0) return nestedSource(item, row);
  const prefix: Source = [{ kind: "bytes", bytes: row.prefix ?? new Uint8Array(0) }];
  switch (item.part) {
    case "text":
      return [{ kind: "blob", range: { start: row.headerBytes, end: row.blobSizeBytes } }];
    case "all":
      return [...prefix, { kind: "blob", range: { start: 0, end: row.blobSizeBytes } }];
    default: {
      const range = { start: 0, end: row.headerBytes };
      return [...prefix, row.header == null ? { kind: "blob", range } : { kind: "bytes", bytes: row.header }];
    }
  }
}

function nestedSource(item: SectionItem, row: MessageRow): Source | undefined {
  const range = nestedRange(item, row);
  if (range === undefined) return undefined;
  // MIME of a part that is the whole message: its header is the message's, which begins with the prefix.
  if (item.part === "mime" && range.start === 0) {
    return [
      { kind: "bytes", bytes: row.prefix ?? new Uint8Array(0) },
      { kind: "blob", range },
    ];
  }
  return [{ kind: "blob", range }];
}

function sectionPieces(item: SectionItem, source: Source | undefined): readonly Piece[] {
  if (source === undefined) return [{ kind: "text", text: `${item.label} NIL` }];
  const cut = item.partial === undefined ? source : cutSource(source, item.partial);
  const size = cut.reduce((sum, piece) => sum + pieceBytes(piece), 0);
  return [{ kind: "text", text: `${item.label} {${size}}\r\n` }, ...cut];
}

function cutSource(source: Source, partial: { offset: number; length: number }): Source {
  const cut: Array<Source[number]> = [];
  let at = 0;
  for (const piece of source) {
    const size = pieceBytes(piece);
    const start = Math.min(Math.max(partial.offset - at, 0), size);
    const end = Math.min(Math.max(partial.offset + partial.length - at, 0), size);
    at += size;
    if (start >= end) continue;
    if (piece.kind === "bytes") cut.push({ kind: "bytes", bytes: piece.bytes.subarray(start, end) });
    else
      cut.push({ kind: "blob", range: { start: piece.range.start + start, end: piece.range.start + end } });
  }
  return cut;
}

/** Octets a piece stands for. */
export function pieceBytes(piece: Piece): number {
  switch (piece.kind) {
    case "text":
      return piece.text.length;
    case "bytes":
      return piece.bytes.length;
    case "blob":
      return piece.range.end - piece.range.start;
    case "decoded":
      return piece.size;
  }
}
