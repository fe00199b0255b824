/**
 * A message on its way into the library: the header is read first, and what would cost too much to check is found before the library
 * sees it (message path, step 2). The library's work on one line, on one run of empty lines, and on much of the header grows with
 * the square of its length.
 */

import type { HeaderField } from "../core/mime/header.ts";
import { headerFields } from "../core/mime/header.ts";

/** Longest header, and most lines in it. */
export const MAX_HEADER_BYTES = 512 * 1024;
const MAX_HEADER_LINES = 10_000;
/** The library makes several objects of each. */
const MAX_FIELDS = 1000;
/** Signatures that are looked at; each costs a hash of the body and a lookup. */
const MAX_SIGNATURES = 10;
/** Octets of the header for all signatures together: of each one the library keeps what it signs, three times, until all have their keys. */
const MAX_SIGNED_BYTES = 512 * 1024;
/** What the library looks at of a chain of ARC. */
const ARC_SIGNATURES = 2;
/** Of all From fields; the library reads each address anew. */
const MAX_FROM_BYTES = 16 * 1024;
/** Blanks and line breaks in a row: the library's patterns begin anew at each of them. */
const MAX_BLANKS = 1000;
/** Names that a signature is made over, told by the colons: each is looked for in the whole header. */
const MAX_SIGNED_NAMES = 500;
/** Tags of a signature or of ARC's results, told by the semicolons: the library takes the empty ones out of a list one by one. */
const MAX_TAGS = 500;
const MAX_LINE_BYTES = 1024 * 1024;
const MAX_EMPTY_LINES = 100_000;

/** The message cannot be checked; `message` says why, for people. */
export class Uncheckable extends Error {}

export interface OpenedMessage {
  readonly header: Uint8Array;
  readonly fields: readonly HeaderField[];
  /** Header and all. Throws {@link Uncheckable} while iterating. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** @throws {Uncheckable} */
export async function openMessage(content: AsyncIterable<Uint8Array>): Promise<OpenedMessage> {
  const chunks = content[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let end = -1;
  while (end < 0) {
    const { value, done } = await chunks.next();
    if (done === true) break;
    const from = Math.max(0, head.length - 3);
    head = Buffer.concat([head, value]);
    end = headerEnd(head, from);
    if (end > MAX_HEADER_BYTES || (end < 0 && head.length > MAX_HEADER_BYTES))
      throw new Uncheckable(`the header has more than ${MAX_HEADER_BYTES} octets`);
  }
  const header = end < 0 ? head : head.subarray(0, end);
  const fields = [...headerFields(header)];
  if (countOf(header, 0x0a) > MAX_HEADER_LINES)
    throw new Uncheckable(`the header has more than ${MAX_HEADER_LINES} lines`);
  return { header, fields, bytes: rest(head, end, chunks) };
}

/**
 * The header costs the library little: a thread must not be in one step for long, others are on it.
 * @throws {Uncheckable}
 */
export function assertCheap({ header }: Pick<OpenedMessage, "header">): void {
  const all = [...rows(header)];
  const named = (name: string) => all.filter(one => one.name === name);
  const signatures = named("dkim-signature").length;
  const signed = signatures + (named("arc-seal").length === 0 ? 0 : ARC_SIGNATURES);
  const fromBytes = named("from").reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (fromBytes > MAX_FROM_BYTES) throw new Uncheckable(`From has more than ${MAX_FROM_BYTES} octets`);
  if (signatures > MAX_SIGNATURES) throw new Uncheckable(`more than ${MAX_SIGNATURES} signatures`);
  for (const { name, bytes } of all) {
    if (SIGNATURES.has(name) && countOf(bytes, 0x3a) > MAX_SIGNED_NAMES)
      throw new Uncheckable(`a signature names more than ${MAX_SIGNED_NAMES} fields`);
    if (TAGGED.has(name) && countOf(bytes, 0x3b) > MAX_TAGS)
      throw new Uncheckable(`${name} has more than ${MAX_TAGS} tags`);
  }
  if (all.length > MAX_FIELDS) throw new Uncheckable(`the header has more than ${MAX_FIELDS} fields`);
  if (signed > 1 && signed * header.length > MAX_SIGNED_BYTES)
    throw new Uncheckable(`${signed} signatures of a header of ${header.length} octets`);
  let blanks = 0;
  for (const octet of header) {
    blanks = isSpace(octet) ? blanks + 1 : 0;
    if (blanks > MAX_BLANKS)
      throw new Uncheckable(`more than ${MAX_BLANKS} blanks follow each other in the header`);
  }
}

const SIGNATURES: ReadonlySet<string> = new Set(["dkim-signature", "arc-message-signature", "arc-seal"]);
const TAGGED: ReadonlySet<string> = new Set([...SIGNATURES, "arc-authentication-results"]);

/** Fields as the library tells them apart: what it takes for white space folds a field, and may stand before its colon. */
function* rows(header: Uint8Array): Generator<{ readonly name: string; readonly bytes: Uint8Array }> {
  let start = 0;
  for (let end = lineEnd(header, 0); start < header.length; end = lineEnd(header, end)) {
    if (end < header.length && isSpace(header[end] ?? 0)) continue;
    const bytes = header.subarray(start, end);
    const colon = bytes.indexOf(0x3a);
    const name = Buffer.from(colon < 0 ? bytes : bytes.subarray(0, colon)).toString("latin1");
    yield { name: name.trim().toLowerCase(), bytes };
    start = end;
  }
}

function lineEnd(bytes: Uint8Array, from: number): number {
  const lf = bytes.indexOf(0x0a, from);
  return lf < 0 ? bytes.length : lf + 1;
}

/** `\s` and `trim()` of octets read as Latin-1. */
function isSpace(octet: number): boolean {
  return octet === 0x20 || (octet >= 0x09 && octet <= 0x0d) || octet === 0xa0;
}

/** Octets up to and with the empty line; -1: it is not there yet. */
function headerEnd(head: Buffer, from: number): number {
  if (head[0] === 0x0d && head[1] === 0x0a) return 2;
  const at = head.indexOf("\r\n\r\n", from);
  return at < 0 ? -1 : at + 4;
}

function countOf(bytes: Uint8Array, octet: number): number {
  let count = 0;
  for (let at = bytes.indexOf(octet); at >= 0; at = bytes.indexOf(octet, at + 1)) count++;
  return count;
}

async function* rest(
  head: Uint8Array,
  end: number,
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const lines = new LineGuard();
  if (end >= 0) lines.look(head.subarray(end));
  yield head;
  // The library looks for signatures at the end of the header alone.
  if (end < 0) yield Buffer.from("\r\n");
  for (;;) {
    const { value, done } = await chunks.next();
    if (done === true) return;
    lines.look(value);
    yield value;
  }
}

class LineGuard {
  #lineBytes = 0;
  #isBlank = true;
  #emptyLines = 0;

  look(chunk: Uint8Array): void {
    let at = 0;
    for (;;) {
      const lf = chunk.indexOf(0x0a, at);
      const stop = lf < 0 ? chunk.length : lf;
      this.#lineBytes += stop - at;
      if (this.#lineBytes > MAX_LINE_BYTES)
        throw new Uncheckable(`a line has more than ${MAX_LINE_BYTES} octets`);
      if (this.#isBlank) this.#isBlank = isBlank(chunk, at, stop);
      if (lf < 0) return;
      this.#emptyLines = this.#isBlank ? this.#emptyLines + 1 : 0;
      if (this.#emptyLines > MAX_EMPTY_LINES)
        throw new Uncheckable(`more than ${MAX_EMPTY_LINES} empty lines follow each other`);
      this.#lineBytes = 0;
      this.#isBlank = true;
      at = lf + 1;
    }
  }
}

function isBlank(chunk: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const octet = chunk[at];
    if (octet !== 0x20 && octet !== 0x09 && octet !== 0x0d) return false;
  }
  return true;
}
