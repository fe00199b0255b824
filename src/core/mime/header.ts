/**
 * A raw header block as fields: iterate, select exact bytes for IMAP `BODY[HEADER.FIELDS (…)]`, unfold, decode. Works on
 * bytes already in memory (a stored header, a prefix + header); the streaming side is `header-reader.ts`. Fails never.
 *
 * What a line is: only LF ends one, with or without a CR before it. A bare CR does not: Postfix and Dovecot treat it as
 * data, and three programs that disagree about header lines are how a forged field gets in. The block ends at the first
 * empty line; a line without a colon (an mbox `From ` line) and a leading line of white space stay opaque.
 */
import { atOnce, type Steps } from "../steps.ts";
import { trimmedRange } from "./byte-text.ts";
import { wordPieces } from "./encoded-word.ts";
import type { ByteText } from "./structure.ts";

export { decodeRfc2231 } from "./rfc2231.ts";

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;

export interface HeaderField {
  /** Lower case, without white space before the colon. */
  readonly name: string;
  /** As written. */
  readonly nameRaw: ByteText;
  /** Octets from the start of the block: first of the field, first after the colon, first after its last line break. */
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
  /** Octets after the colon, folds included, last line break excluded: a view into the block. */
  readonly value: Uint8Array;
  /** Physical lines the field takes. */
  readonly lines: number;
}

function isBlank(octet: number | undefined): boolean {
  return octet === 0x20 || octet === 0x09;
}

/** End of the line that begins at `start`, its LF included. */
function lineEnd(block: Uint8Array, start: number): number {
  const lf = block.indexOf(LF, start);
  return lf === -1 ? block.length : lf + 1;
}

/** True when `[start, end)` is CRLF or LF alone. */
function isEmptyLine(block: Uint8Array, start: number, end: number): boolean {
  return block[end - 1] === LF && (end - start === 1 || (end - start === 2 && block[start] === CR));
}

function withoutLineBreak(block: Uint8Array, start: number, end: number): number {
  if (end === start || block[end - 1] !== LF) return end;
  return end - 1 > start && block[end - 2] === CR ? end - 2 : end - 1;
}

/**
 * The name of the field in a header line, or undefined when the line is opaque (no colon, or no RFC 5322 §3.6.8
 * field name before it; white space before the colon is allowed, §4.5.3).
 *
 * @param line  octets as characters, at least up to the colon
 */
export function fieldName(line: ByteText): string | undefined {
  return /^([!-9;-~]+)[ \t]*:/.exec(line)?.[1];
}

type Section =
  | { readonly kind: "field"; readonly field: HeaderField }
  | { readonly kind: "opaque"; readonly start: number; readonly end: number }
  | { readonly kind: "end"; readonly start: number; readonly end: number };

/** A name longer than this is opaque: nobody can ask for it, and reading it would cost. */
const NAME_SCAN_BYTES = 1024;

function fieldAt(block: Uint8Array, start: number, end: number, lines: number): HeaderField | undefined {
  const scanned = Buffer.from(block.buffer, block.byteOffset + start, Math.min(end - start, NAME_SCAN_BYTES));
  const nameRaw = fieldName(scanned.toString("latin1"));
  if (nameRaw === undefined) return undefined;
  const valueStart = block.indexOf(COLON, start) + 1;
  const value = block.subarray(valueStart, Math.max(valueStart, withoutLineBreak(block, start, end)));
  return { name: nameRaw.toLowerCase(), nameRaw, start, valueStart, end, value, lines };
}

/** Octets of whole fields and lines of one field that are passed in one step, and pieces of a block that are copied. */
const OCTETS_PER_STEP = 4096;
const LINES_PER_STEP = 4096;
const COPIES_PER_STEP = 4096;

/** Cut a block into fields, opaque runs and the closing empty line, in order and without gaps. Undefined: a step is over. */
function* sections(block: Uint8Array): Generator<Section | undefined> {
  let start = 0;
  let stepEnd = OCTETS_PER_STEP;
  while (start < block.length) {
    let end = lineEnd(block, start);
    if (isEmptyLine(block, start, end)) {
      yield { kind: "end", start, end };
      return;
    }
    let lines = 1;
    while (end < block.length && isBlank(block[end])) {
      end = lineEnd(block, end);
      lines++;
      if (lines % LINES_PER_STEP === 0) yield undefined;
    }
    const field = isBlank(block[start]) ? undefined : fieldAt(block, start, end, lines);
    yield field === undefined ? { kind: "opaque", start, end } : { kind: "field", field };
    start = end;
    if (start < stepEnd) continue;
    stepEnd = start + OCTETS_PER_STEP;
    yield undefined;
  }
}

/**
 * The fields of a header block, top to bottom, doubles kept; stops at the first empty line.
 *
 * @param block  raw header bytes; what follows its empty line is ignored
 */
export function* headerFields(block: Uint8Array): Generator<HeaderField> {
  for (const field of headerFieldsInSteps(block)) if (field !== undefined) yield field;
}

/** As {@link headerFields}. Undefined: a step is over. */
export function* headerFieldsInSteps(block: Uint8Array): Generator<HeaderField | undefined> {
  for (const section of sections(block)) {
    if (section === undefined) yield undefined;
    else if (section.kind === "field") yield section.field;
  }
}

/**
 * The bytes of `BODY[HEADER.FIELDS (…)]` or, with `not`, of `BODY[HEADER.FIELDS.NOT (…)]` (RFC 3501 §6.4.5): exact,
 * folds and order kept, and the closing empty line when the block has one (a message without body has none).
 *
 * @param block  the header block, prefix included
 * @param names  field names in any case
 * @param not    everything but these; opaque lines are then included
 */
export function selectHeaderFields(block: Uint8Array, names: Iterable<string>, not: boolean): Uint8Array {
  return atOnce(selectHeaderFieldsInSteps(block, names, not));
}

/** As {@link selectHeaderFields}. */
export function* selectHeaderFieldsInSteps(
  block: Uint8Array,
  names: Iterable<string>,
  not: boolean,
): Steps<Uint8Array> {
  const wanted = new Set(Array.from(names, name => name.toLowerCase()));
  // Begin and end of each stretch that is kept: a block may have a million fields, and most often they are neighbours.
  const kept: number[] = [];
  let size = 0;
  for (const section of sections(block)) {
    if (section === undefined) yield;
    if (section === undefined || !isKept(section, wanted, not)) continue;
    const { start, end } = section.kind === "field" ? section.field : section;
    size += end - start;
    if (kept[kept.length - 1] === start) kept[kept.length - 1] = end;
    else kept.push(start, end);
  }
  const selected = new Uint8Array(size);
  let at = 0;
  for (let i = 0; i < kept.length; i += 2) {
    if (i % COPIES_PER_STEP === COPIES_PER_STEP - 2) yield;
    const stretch = block.subarray(kept[i], kept[i + 1]);
    selected.set(stretch, at);
    at += stretch.length;
  }
  return selected;
}

function isKept(section: Section, wanted: ReadonlySet<string>, not: boolean): boolean {
  if (section.kind === "field") return wanted.has(section.field.name) !== not;
  return section.kind === "end" || not;
}

/** Octets of a value that are unfolded in one step. */
const PIECE_BYTES = 16_384;

/** Remove folding (RFC 5322 §2.2.3: a line break before white space goes, the white space stays). */
export function unfold(value: Uint8Array): ByteText {
  const steps = unfoldInSteps(value);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Into octets, not a text that grows: thousands of texts put together are copied all at once in the end. */
function* unfoldInSteps(value: Uint8Array): Generator<"", ByteText> {
  if (value.indexOf(LF) === -1)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("latin1");
  const octets = Buffer.allocUnsafe(value.length);
  let used = 0;
  for (let at = 0; at < value.length; at++) {
    if (at % PIECE_BYTES === PIECE_BYTES - 1) yield "";
    const octet = value[at] ?? 0;
    if (octet !== LF || !isBlank(value[at + 1])) octets[used++] = octet;
    else if (value[at - 1] === CR) used--;
  }
  return octets.toString("latin1", 0, used);
}

/**
 * A header value as people read it: unfolded, RFC 2047 decoded, raw 8-bit as UTF-8 if valid else windows-1252, controls
 * except TAB turned to spaces, white space at both ends removed.
 *
 * @param value  raw octets after the colon, or already unfolded text
 */
export function decodeHeaderValue(value: Uint8Array | ByteText): string {
  let text = "";
  for (const piece of headerValuePieces(value)) text += piece;
  return text;
}

/** As {@link decodeHeaderValue}, in pieces: megabytes take longer than others may wait. A piece may be empty. */
export function* headerValuePieces(value: Uint8Array | ByteText): Generator<string> {
  const text = typeof value === "string" ? value : yield* unfoldInSteps(value);
  const ends = new EndTrimmer();
  for (const piece of wordPieces(text)) {
    yield* ends.trimmed(piece.replace(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/g, " "));
  }
}

/** Takes white space off both ends of a text that comes in pieces. */
class EndTrimmer {
  #began = false;
  /** White space that something may follow. */
  #held: string[] = [];

  *trimmed(piece: string): Generator<string> {
    const [start, end] = trimmedRange(piece);
    if (start < end) {
      yield* this.#held;
      yield this.#began ? piece.slice(0, end) : piece.slice(start, end);
      this.#began = true;
      this.#held = [piece.slice(end)];
    } else if (this.#began && piece !== "") this.#held.push(piece);
    else yield "";
  }
}
