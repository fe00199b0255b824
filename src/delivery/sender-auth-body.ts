/**
 * A message on its way into the library: the header is read first, and what would cost too much to check is found before the library
 * sees it (message path, step 2). The library's work on one line, on one run of empty lines, and on the header grows with the square
 * of its length.
 */

import type { HeaderField } from "../core/mime/header.ts";
import { headerFields } from "../core/mime/header.ts";

/** Longest header, and most lines in it. */
export const MAX_HEADER_BYTES = 512 * 1024;
const MAX_HEADER_LINES = 10_000;
/** Signatures that are looked at; each costs a hash of the body and a lookup. */
export const MAX_SIGNATURES = 10;
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
  if (linesOf(header) > MAX_HEADER_LINES)
    throw new Uncheckable(`the header has more than ${MAX_HEADER_LINES} lines`);
  return { header, fields, bytes: rest(head, end, chunks) };
}

/** Octets up to and with the empty line; -1: it is not there yet. */
function headerEnd(head: Buffer, from: number): number {
  if (head[0] === 0x0d && head[1] === 0x0a) return 2;
  const at = head.indexOf("\r\n\r\n", from);
  return at < 0 ? -1 : at + 4;
}

function linesOf(header: Uint8Array): number {
  let lines = 0;
  for (let at = header.indexOf(0x0a); at >= 0; at = header.indexOf(0x0a, at + 1)) lines++;
  return lines;
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
