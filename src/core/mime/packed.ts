/**
 * The stored form of a message's structure: compact bytes that stand beside the message in PostgreSQL (a text column
 * could not hold NUL or raw 8-bit). IMAP FETCH copies ENVELOPE, BODYSTRUCTURE and BODY out of it without parsing, and
 * finds the octets of a part by its number.
 *
 * Layout, integers as LEB128 varints:
 *   version (1) · size of the message · length of ENVELOPE, BODYSTRUCTURE, BODY, parts table · those four
 *   parts table: one row per node, parents before children:
 *   flags · number of children · headerStart · octets of header · octets of body · type · encoding · charset
 *   (the last three: length and latin1 bytes)
 *
 * What fails: bytes that are not ours, or were cut → `data_invalid`; nothing else.
 */
import { MairustError } from "../errors.ts";
import { isTextLeaf } from "./attachments.ts";
import { parameterValue } from "./content-fields.ts";
import { renderBody, renderEnvelope } from "./imap-render.ts";
import { STORED_DEPTH_MAX, TOKEN_BYTES_MAX } from "./limits.ts";
import { PackedReader, PackedWriter } from "./packed-bytes.ts";
import type { MessageStructure, MimePart } from "./structure.ts";

export const PACKED_VERSION = 1;

const FLAG_MULTIPART = 1;
const FLAG_MESSAGE = 2;
const FLAG_TEXT = 4;

/** Half-open octet range within the blob (the entry's prefix not counted). */
export interface OctetRange {
  readonly start: number;
  readonly end: number;
}

/** `text` and `header`: of the message, or of the message inside a message part; `mime`: the part's own header. */
export type PartSection = "body" | "header" | "text" | "mime";

export interface PackedPart {
  /** IMAP part number; undefined for a node that has none (a multipart that is the body of a message). */
  readonly path: readonly number[] | undefined;
  readonly kind: MimePart["kind"];
  /** Effective `type/subtype`. */
  readonly mediaType: string;
  /** Lower case, "" for none. */
  readonly encoding: string;
  /** As written, "" for none. */
  readonly charset: string;
  /** text/plain or text/html that is shown, not attached. */
  readonly isText: boolean;
  readonly headerStart: number;
  readonly bodyStart: number;
  readonly bodyEnd: number;
}

export interface UnpackedStructure {
  readonly sizeBytes: number;
  readonly envelope: Uint8Array;
  readonly bodyStructure: Uint8Array;
  readonly body: Uint8Array;
  /** All nodes, parents before children. */
  readonly parts: readonly PackedPart[];
}

/** A row of the parts table. */
interface Row {
  readonly flags: number;
  readonly children: number;
  readonly headerStart: number;
  readonly bodyStart: number;
  readonly bodyEnd: number;
  /** Where its texts begin. */
  readonly textsAt: number;
}

function writeRows(writer: PackedWriter, part: MimePart): void {
  const kind = part.kind === "multipart" ? FLAG_MULTIPART : part.kind === "message" ? FLAG_MESSAGE : 0;
  writer.number(kind | (isTextLeaf(part) ? FLAG_TEXT : 0));
  writer.number(part.children.length);
  writer.number(part.headerStart);
  writer.number(part.bodyStart - part.headerStart);
  writer.number(part.bodyEnd - part.bodyStart);
  writer.text(`${part.type}/${part.subtype}`);
  writer.text((part.encoding ?? "").toLowerCase());
  writer.text((parameterValue(part.params, "charset") ?? "").slice(0, TOKEN_BYTES_MAX));
  for (const child of part.children) writeRows(writer, child);
}

/** Render and pack. Pure; the result is read by the functions below only. */
export function packStructure(structure: MessageStructure): Uint8Array {
  const texts = [
    renderEnvelope(structure.envelope),
    renderBody(structure.root, true),
    renderBody(structure.root, false),
  ];
  const table = new PackedWriter();
  writeRows(table, structure.root);
  const writer = new PackedWriter();
  writer.number(PACKED_VERSION);
  writer.number(structure.sizeBytes);
  for (const text of texts) writer.number(text.length);
  writer.number(table.length);
  return Buffer.concat([writer.bytes(), ...texts.map(text => Buffer.from(text, "latin1")), table.bytes()]);
}

interface Directory {
  readonly sizeBytes: number;
  readonly envelope: OctetRange;
  readonly bodyStructure: OctetRange;
  readonly body: OctetRange;
  readonly table: OctetRange;
}

function readDirectory(packed: Uint8Array): Directory {
  const reader = new PackedReader(packed, 0, packed.length);
  const version = reader.number();
  if (version !== PACKED_VERSION) {
    throw new MairustError(
      "data_invalid",
      `Cannot read the stored structure: version is ${version}, expected ${PACKED_VERSION}`,
    );
  }
  const sizeBytes = reader.number();
  const lengths = [reader.number(), reader.number(), reader.number(), reader.number()];
  let at = reader.position;
  const [envelope, bodyStructure, body, table] = lengths.map(length => {
    const range = { start: at, end: at + length };
    at += length;
    return range;
  });
  if (at !== packed.length || !envelope || !bodyStructure || !body || !table) {
    throw new MairustError(
      "data_invalid",
      `Cannot read the stored structure: ${packed.length} bytes, expected ${at}`,
    );
  }
  return { sizeBytes, envelope, bodyStructure, body, table };
}

function view(packed: Uint8Array, range: OctetRange): Uint8Array {
  return packed.subarray(range.start, range.end);
}

/** ENVELOPE as it goes over the wire: a view. @throws {MairustError} `data_invalid` */
export function packedEnvelope(packed: Uint8Array): Uint8Array {
  return view(packed, readDirectory(packed).envelope);
}

/** BODYSTRUCTURE as it goes over the wire: a view. @throws {MairustError} `data_invalid` */
export function packedBodyStructure(packed: Uint8Array): Uint8Array {
  return view(packed, readDirectory(packed).bodyStructure);
}

/** BODY (without extension data) as it goes over the wire: a view. @throws {MairustError} `data_invalid` */
export function packedBody(packed: Uint8Array): Uint8Array {
  return view(packed, readDirectory(packed).body);
}

function readRow(reader: PackedReader): Row {
  const flags = reader.number();
  const children = reader.number();
  const headerStart = reader.number();
  const bodyStart = headerStart + reader.number();
  const bodyEnd = bodyStart + reader.number();
  return { flags, children, headerStart, bodyStart, bodyEnd, textsAt: reader.position };
}

function skipTexts(reader: PackedReader): void {
  for (let i = 0; i < 3; i++) reader.skip(reader.number());
}

function nextRow(reader: PackedReader): Row {
  const row = readRow(reader);
  skipTexts(reader);
  return row;
}

/** Step over `count` subtrees. */
function skipSubtrees(reader: PackedReader, count: number): void {
  for (let left = count; left > 0; left--) left += nextRow(reader).children;
}

/** The row of the part `path`, with the reader behind it; undefined when there is none. */
function findRow(reader: PackedReader, path: readonly number[]): Row | undefined {
  // `row` is a body of a message: numbers count its children if it is a multipart, else 1 means itself.
  let row = nextRow(reader);
  let isMessageBody = true;
  for (const number of path) {
    if (!isMessageBody && (row.flags & FLAG_MESSAGE) !== 0) {
      row = nextRow(reader);
      isMessageBody = true;
    }
    if ((row.flags & FLAG_MULTIPART) !== 0) {
      if (!Number.isInteger(number) || number < 1 || number > row.children) return undefined;
      skipSubtrees(reader, number - 1);
      row = nextRow(reader);
    } else if (!isMessageBody || number !== 1) return undefined;
    isMessageBody = false;
  }
  return row;
}

/**
 * The octets of `BODY[<path>]`, `BODY[<path>.MIME]`, `BODY[<path>.HEADER]` or `.TEXT` (RFC 3501 §6.4.5).
 *
 * @param path     part number, `[]` for the message itself
 * @param section  `header` and `text` exist for `[]` and for message parts only, `mime` only for parts
 * @returns        range within the blob, or undefined when the message has no such part. For the message itself the
 *                 caller puts the entry's prefix before `body` and `header`.
 * @throws {MairustError} `data_invalid`
 */
export function findPart(
  packed: Uint8Array,
  path: readonly number[],
  section: PartSection,
): OctetRange | undefined {
  const { table } = readDirectory(packed);
  const reader = new PackedReader(packed, table.start, table.end);
  const row = findRow(reader, path);
  if (row === undefined) return undefined;
  const isRoot = path.length === 0;
  if (section === "mime") return isRoot ? undefined : { start: row.headerStart, end: row.bodyStart };
  if (section === "body") return { start: isRoot ? row.headerStart : row.bodyStart, end: row.bodyEnd };
  if (!isRoot && (row.flags & FLAG_MESSAGE) === 0) return undefined;
  const message = isRoot ? row : nextRow(reader);
  return section === "header"
    ? { start: message.headerStart, end: message.bodyStart }
    : { start: message.bodyStart, end: message.bodyEnd };
}

/** The body of a part and how to decode it. */
export interface EncodedPart {
  readonly range: OctetRange;
  /** Content-Transfer-Encoding in lower case, "" for none and for what has parts of its own (RFC 2045 §6.4). */
  readonly encoding: string;
}

/** @param path  not empty @returns undefined when there is no such part @throws {MairustError} `data_invalid` */
export function findEncodedPart(packed: Uint8Array, path: readonly number[]): EncodedPart | undefined {
  const { table } = readDirectory(packed);
  const row = findRow(new PackedReader(packed, table.start, table.end), path);
  if (row === undefined) return undefined;
  const range = { start: row.bodyStart, end: row.bodyEnd };
  if ((row.flags & (FLAG_MULTIPART | FLAG_MESSAGE)) !== 0) return { range, encoding: "" };
  const texts = new PackedReader(packed, row.textsAt, table.end);
  texts.text();
  return { range, encoding: texts.text() };
}

/** Read one subtree into `out`. `path` is the number of the node, or of the message when the node is its body. */
function unpackRows(
  reader: PackedReader,
  path: readonly number[],
  isMessageBody: boolean,
  out: PackedPart[],
  depth = 0,
): void {
  if (depth > STORED_DEPTH_MAX) {
    throw new MairustError(
      "data_invalid",
      `Cannot read the stored structure: deeper than ${STORED_DEPTH_MAX}`,
    );
  }
  const row = readRow(reader);
  const isMultipart = (row.flags & FLAG_MULTIPART) !== 0;
  const isMessage = (row.flags & FLAG_MESSAGE) !== 0;
  const own = !isMessageBody ? path : isMultipart ? undefined : [...path, 1];
  out.push({
    path: own,
    kind: isMultipart ? "multipart" : isMessage ? "message" : "leaf",
    mediaType: reader.text(),
    encoding: reader.text(),
    charset: reader.text(),
    isText: (row.flags & FLAG_TEXT) !== 0,
    headerStart: row.headerStart,
    bodyStart: row.bodyStart,
    bodyEnd: row.bodyEnd,
  });
  for (let i = 1; i <= row.children; i++) {
    if (isMessage) unpackRows(reader, own ?? path, true, out, depth + 1);
    else unpackRows(reader, [...(own ?? path), i], false, out, depth + 1);
  }
}

/** Everything in it. @throws {MairustError} `data_invalid` */
export function unpackStructure(packed: Uint8Array): UnpackedStructure {
  const directory = readDirectory(packed);
  const parts: PackedPart[] = [];
  unpackRows(new PackedReader(packed, directory.table.start, directory.table.end), [], true, parts);
  return {
    sizeBytes: directory.sizeBytes,
    envelope: view(packed, directory.envelope),
    bodyStructure: view(packed, directory.bodyStructure),
    body: view(packed, directory.body),
    parts,
  };
}
