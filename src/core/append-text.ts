/**
 * Appends text to a whole message (message path, step 5, `pre_send`): plain text to its first text/plain part, HTML to its first
 * text/html part, where those are the message's text and no attachment. Every other part stays as it is, octet for octet. Pure.
 *
 * Signed and encrypted mail is not touched, PGP within the text neither. What comes out is read once more: when it has not the very
 * parts of before, nothing is changed.
 *
 * Sources: mail-path.md §3; plugins.md §4; RFC 1847, RFC 8551 §3.2 (which types are signed or encrypted)
 */
import { appendToLeaf, decodeStrictly, type LeafEdit, type TextKind } from "./append-leaf.ts";
import { type MediaType, parseMediaType } from "./mime/content-fields.ts";
import { type HeaderField, headerFields, unfold } from "./mime/header.ts";
import type { MimeLimits } from "./mime/limits.ts";
import { type PackedPart, packStructure, unpackStructure } from "./mime/packed.ts";
import { MessageScanner } from "./mime/scanner.ts";
import { VisibleParts } from "./permissions-walk.ts";

/** Largest message that text is appended to: all of it is in memory then. */
export const MAX_EDITED_MESSAGE_BYTES = 16 * 1024 * 1024;
/** Largest text part, as it stands in the message. */
export const MAX_EDITED_PART_BYTES = 2 * 1024 * 1024;

export interface AppendedText {
  /** Lines end in LF; "" for none. */
  readonly plain: string;
  readonly html: string;
}

/** Of the message's own header. */
export interface FieldChange {
  readonly name: string;
  /** Among those of its name, from 1; undefined: a new field. */
  readonly index: number | undefined;
  /** Without the blank in front; folded lines are parted by CRLF. */
  readonly value: string;
}

export interface AppendPlan {
  /** What follows the header; undefined: as it was. */
  readonly body: readonly Uint8Array[] | undefined;
  readonly fields: readonly FieldChange[];
  /** Octets at the start of the body that are the same as before. */
  readonly keptBytes: number;
  readonly done: readonly TextKind[];
  readonly skipped: ReadonlyArray<{ readonly text: TextKind; readonly why: string }>;
}

const PROTECTED: ReadonlySet<string> = new Set([
  "multipart/signed",
  "multipart/encrypted",
  "application/pkcs7-mime",
  "application/x-pkcs7-mime",
]);

/**
 * @param message  all of it, as the MTA has it
 * @param texts    of all plugins, in order
 */
export function planAppend(
  message: Uint8Array,
  texts: readonly AppendedText[],
  limits?: MimeLimits,
): AppendPlan {
  const wanted = wantedTexts(texts);
  const parts = partsOfMessage([message], limits);
  const [root] = parts;
  const leaves = visibleTexts(parts);
  const why = root === undefined ? "it has no parts" : untouchable(message, root, parts, leaves);
  if (root === undefined || why !== undefined) return nothing(wanted, why ?? "");
  const edits = wanted.map(({ kind, text }) => editOf(message, root, leaves, kind, text));
  const made = edits.flatMap(one => (one.kind === "made" ? [one] : []));
  // Mail that is plain text alone needs no HTML: one text that found its place is enough.
  const skipped = edits.flatMap(one =>
    one.kind === "skipped" && !(one.why === noPart(one.text) && made.length > 0)
      ? [{ text: one.text, why: one.why }]
      : [],
  );
  if (made.length === 0) return { ...nothing([], ""), skipped };
  const plan = assemble(message, root, made);
  const header = changedHeader(message.subarray(0, root.bodyStart), plan.fields);
  const after = partsOfMessage([header, ...(plan.body ?? [])], limits);
  // A line of the text that some reader takes for a delimiter, an encoding that means two things: better no text than other parts.
  return isSameShape(parts, after)
    ? { ...plan, skipped }
    : nothing(wanted, "the message would have other parts");
}

interface Wanted {
  readonly kind: TextKind;
  readonly text: string;
}

function wantedTexts(texts: readonly AppendedText[]): readonly Wanted[] {
  return (["plain", "html"] as const).flatMap(kind => {
    const all = texts.map(one => one[kind]).filter(text => text !== "");
    return all.length === 0 ? [] : [{ kind, text: all.map(text => text.replace(/\n$/, "")).join("\n") }];
  });
}

function nothing(wanted: readonly Wanted[], why: string): AppendPlan {
  const skipped = wanted.map(({ kind }) => ({ text: kind, why }));
  return { body: undefined, fields: [], keptBytes: 0, done: [], skipped };
}

function partsOfMessage(pieces: readonly Uint8Array[], limits?: MimeLimits): readonly PackedPart[] {
  const scanner = new MessageScanner(limits);
  for (const piece of pieces) scanner.write(piece);
  return unpackStructure(packStructure(scanner.end())).parts;
}

function isSameShape(before: readonly PackedPart[], after: readonly PackedPart[]): boolean {
  const shape = (parts: readonly PackedPart[]) =>
    JSON.stringify(parts.map(({ path, kind, mediaType, isText }) => [path, kind, mediaType, isText]));
  return shape(before) === shape(after);
}

function visibleTexts(parts: readonly PackedPart[]): readonly PackedPart[] {
  const walk = new VisibleParts();
  return parts.filter(part => walk.enter(part) === "text");
}

/** @returns why no text at all may be appended */
function untouchable(
  message: Uint8Array,
  root: PackedPart,
  parts: readonly PackedPart[],
  leaves: readonly PackedPart[],
): string | undefined {
  if (root.headerStart !== 0 || !hasEnd(message.subarray(0, root.bodyStart))) return "its header has no end";
  if (ownParts(parts).some(part => isProtected(message, part))) return "it is signed or encrypted";
  return leaves.some(leaf => holdsPgp(message, leaf)) ? "it holds inline PGP" : undefined;
}

/** What follows an unfinished header would be read as a part of it. */
function hasEnd(header: Uint8Array): boolean {
  return /(?:^|\r\n)\r\n$/.test(Buffer.from(header.subarray(-4)).toString("latin1"));
}

/** A broken multipart is read as text: what it said it was counts. */
function isProtected(message: Uint8Array, part: PackedPart): boolean {
  return (
    PROTECTED.has(part.mediaType) ||
    declaredTypes(message.subarray(part.headerStart, part.bodyStart)).some(({ type, subtype }) =>
      PROTECTED.has(`${type}/${subtype}`),
    )
  );
}

/** Parts of attached messages are theirs: nothing is appended there. */
function ownParts(parts: readonly PackedPart[]): readonly PackedPart[] {
  let attachedUntil = -1;
  return parts.filter(({ kind, headerStart, bodyEnd }) => {
    if (headerStart <= attachedUntil) return false;
    if (kind === "message") attachedUntil = bodyEnd;
    return true;
  });
}

function declaredTypes(header: Uint8Array): readonly MediaType[] {
  return fieldsOf(header, "content-type").flatMap(({ value }) => parseMediaType(unfold(value)) ?? []);
}

const PGP = "-----BEGIN PGP ";

function holdsPgp(message: Uint8Array, leaf: PackedPart): boolean {
  const encoded = message.subarray(leaf.bodyStart, leaf.bodyEnd);
  const content = encoded.length > MAX_EDITED_PART_BYTES ? encoded : decodeStrictly(encoded, leaf.encoding);
  return Buffer.from(content ?? encoded).includes(PGP);
}

function fieldsOf(header: Uint8Array, name: string): readonly HeaderField[] {
  return [...headerFields(header)].filter(field => field.name === name);
}

interface Made {
  readonly kind: "made";
  readonly text: TextKind;
  readonly leaf: PackedPart;
  readonly body: Uint8Array;
  readonly fields: readonly FieldChange[];
}

type Attempt = Made | { readonly kind: "skipped"; readonly text: TextKind; readonly why: string };

function noPart(kind: TextKind): string {
  return `it has no text/${kind} part`;
}

function editOf(
  message: Uint8Array,
  root: PackedPart,
  leaves: readonly PackedPart[],
  kind: TextKind,
  text: string,
): Attempt {
  const skipped = (why: string): Attempt => ({ kind: "skipped", text: kind, why });
  const leaf = leaves.find(one => one.mediaType === `text/${kind}`);
  if (leaf === undefined) return skipped(noPart(kind));
  if (leaf.bodyEnd - leaf.bodyStart > MAX_EDITED_PART_BYTES) return skipped("its text is too large");
  const header = message.subarray(leaf.headerStart, leaf.bodyStart);
  if (!hasEnd(header)) return skipped("its header has no end");
  if (fieldsOf(header, "content-md5").length > 0) return skipped("the part has a checksum");
  const flowed = declaredTypes(header).some(({ params }) =>
    params.some(({ name, value }) => name === "format" && value.toLowerCase() === "flowed"),
  );
  const { encoding, charset } = leaf;
  const form = { kind, encoding, charset, flowed, nested: leaf !== root };
  const edit = appendToLeaf(message.subarray(leaf.bodyStart, leaf.bodyEnd), form, text);
  if (edit.kind === "skipped") return skipped(edit.why);
  const fields = headerChanges(header, edit, kind, leaf === root);
  if (fields === undefined) return skipped("its header cannot be changed safely");
  return { kind: "made", text: kind, leaf, body: edit.body, fields };
}

/** @returns undefined: the header says it twice, or in a way that cannot be rewritten */
function headerChanges(
  header: Uint8Array,
  edit: Extract<LeafEdit, { readonly kind: "edited" }>,
  kind: TextKind,
  isRoot: boolean,
): readonly FieldChange[] | undefined {
  if (edit.encoding === undefined && edit.charset === undefined) return [];
  const changes: FieldChange[] = [];
  if (edit.charset !== undefined) {
    const [field, other] = fieldsOf(header, "content-type");
    const written = field === undefined ? `text/${kind}` : rawValue(field);
    const value = withCharset(written, edit.charset);
    if (other !== undefined || value === undefined) return undefined;
    changes.push({ name: field?.nameRaw ?? "Content-Type", index: field && 1, value });
  }
  if (edit.encoding !== undefined) {
    const [field, other] = fieldsOf(header, "content-transfer-encoding");
    if (other !== undefined) return undefined;
    const name = field?.nameRaw ?? "Content-Transfer-Encoding";
    changes.push({ name, index: field && 1, value: edit.encoding });
  }
  if (isRoot && fieldsOf(header, "mime-version").length === 0)
    changes.push({ name: "MIME-Version", index: undefined, value: "1.0" });
  return changes;
}

function rawValue({ value }: HeaderField): string {
  return Buffer.from(value).toString("latin1").trim();
}

const CHARSET_PARAMETER = /(;\s*charset\s*=\s*)(?:"[^"\\]*"|[^\s;"()]+)/i;

/** @returns undefined: it would read otherwise in more than the charset */
function withCharset(value: string, charset: string): string | undefined {
  const changed = CHARSET_PARAMETER.test(value)
    ? value.replace(CHARSET_PARAMETER, `$1${charset}`)
    : `${value.replace(/\s*;\s*$/, "")}; charset=${charset}`;
  const others = (text: string) => {
    const { type, subtype, params = [] } = parseMediaType(text.replace(/\r?\n(?=[ \t])/g, "")) ?? {};
    const rest = params.filter(({ name }) => name !== "charset");
    return { charset: params.find(({ name }) => name === "charset")?.value, same: [type, subtype, rest] };
  };
  const [before, after] = [others(value), others(changed)];
  const isSafe =
    /^[\t\r\n\x20-\x7e]*$/.test(changed) &&
    after.charset === charset &&
    JSON.stringify(before.same) === JSON.stringify(after.same);
  return isSafe ? changed : undefined;
}

function assemble(message: Uint8Array, root: PackedPart, made: readonly Made[]): Omit<AppendPlan, "skipped"> {
  const body: Uint8Array[] = [];
  const fields: FieldChange[] = [];
  let at = root.bodyStart;
  let keptBytes: number | undefined;
  for (const one of [...made].sort((a, b) => a.leaf.bodyStart - b.leaf.bodyStart)) {
    const { leaf } = one;
    const isRoot = leaf === root;
    const from = !isRoot && one.fields.length > 0 ? leaf.headerStart : leaf.bodyStart;
    body.push(message.subarray(at, from));
    if (isRoot) fields.push(...one.fields);
    else if (from === leaf.headerStart)
      body.push(changedHeader(message.subarray(leaf.headerStart, leaf.bodyStart), one.fields));
    keptBytes ??= from - root.bodyStart + (from === leaf.bodyStart ? sharedBytes(message, one) : 0);
    body.push(one.body);
    at = leaf.bodyEnd;
  }
  body.push(message.subarray(at));
  return { body, fields, keptBytes: keptBytes ?? 0, done: made.map(({ text }) => text) };
}

function sharedBytes(message: Uint8Array, { leaf, body }: Made): number {
  const old = message.subarray(leaf.bodyStart, leaf.bodyEnd);
  const most = Math.min(old.length, body.length);
  let same = 0;
  while (same < most && old[same] === body[same]) same++;
  return same;
}

/** New fields come last: where an MTA puts what is added. */
export function changedHeader(header: Uint8Array, changes: readonly FieldChange[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  let at = 0;
  const seen = new Map<string, number>();
  let end = 0;
  for (const field of headerFields(header)) {
    end = field.end;
    const index = (seen.get(field.name) ?? 0) + 1;
    seen.set(field.name, index);
    const change = changes.find(one => one.index === index && one.name.toLowerCase() === field.name);
    if (change === undefined) continue;
    pieces.push(header.subarray(at, field.valueStart), Buffer.from(` ${change.value}\r\n`, "latin1"));
    at = field.end;
  }
  // Behind the last field may stand what is none; the empty line is the last two octets.
  const last = Math.max(end, at, header.length - 2);
  pieces.push(header.subarray(at, last));
  for (const { name, value } of changes.filter(one => one.index === undefined))
    pieces.push(Buffer.from(`${name}: ${value}\r\n`, "latin1"));
  pieces.push(header.subarray(last));
  return Buffer.concat(pieces);
}
