/**
 * Fuzz target: the MIME scanner and everything rendered from it. `run` throws when an invariant does not hold for an
 * input: any chunking gives the same structure, offsets nest, the rendered texts are valid IMAP, stored parts are found.
 */
import { deepStrictEqual } from "node:assert/strict";
import { decodeHeaderValue, headerFields, selectHeaderFields } from "../../src/core/mime/header.ts";
import { findPart, packStructure, unpackStructure } from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";
import type { MessageStructure, MimePart } from "../../src/core/mime/structure.ts";
import { checkBody, checkEnvelope, readImap } from "../unit/core/mime/imap-reader.ts";
import { mimeMessage } from "./lib/mime-grammar.ts";
import type { Random } from "./lib/random.ts";

export const name = "mime-scanner";
export const words = [
  "\r\n",
  "\n",
  "--a",
  "--a--",
  "\r\n--b\r\n",
  "Content-Type: ",
  "multipart/mixed; boundary=b\r\n",
  "message/rfc822\r\n",
  "text/plain\r\n",
  "\r\n\r\n",
  "Content-Disposition: attachment; filename=",
  "=?utf-8?q?",
  "\0",
];

export function generate(random: Random): Uint8Array {
  return Buffer.from(mimeMessage(random), "latin1");
}

const SEEDS = [
  "Subject: a\r\n\r\nb\r\n",
  'Content-Type: multipart/mixed; boundary="a"\r\n\r\n--a\r\n\r\nx\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: n\r\n\r\ny\r\n--a--\r\n',
  "Content-Type: multipart/digest; boundary=ab\n\n--ab\n\nFrom: a@b (c)\n\n--ab\nContent-Type: multipart/x; boundary=a\n\n--a--\n--ab--",
  'From x Mon\r\n folded\r\nTo: g: a@b, "c\\"d" <@r:e@f>;, =?utf-8?q?=C3?= =?utf-8?q?=A9?= <h@i>\r\nContent-Type: text/plain; name*0*=utf-8\'\'%e3; name*1="x"',
  "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--",
  "Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/alternative; boundary=--\r\n\r\n------\r\n--\0\r--\r\n----\r\n",
];

export const seeds: readonly Uint8Array[] = SEEDS.map(seed => Buffer.from(seed, "latin1"));

/** Small, repeatable random numbers: a failure is found again from its input alone. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed | 1; ; ) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    yield state >> 8;
  }
}

function scanChunked(input: Uint8Array, seed: number): MessageStructure {
  const random = numbers(seed);
  const scanner = new MessageScanner();
  for (let at = 0; at < input.length; ) {
    const length = 1 + (random.next().value % (seed === 1 ? 3 : 40));
    // A copy that is overwritten afterwards: the scanner must not keep views of chunks.
    const chunk = Uint8Array.from(input.subarray(at, at + length));
    scanner.write(chunk);
    chunk.fill(0x2d);
    at += length;
  }
  return scanner.end();
}

function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`invariant: ${what}`);
}

function checkOffsets(part: MimePart, from: number, to: number): void {
  check(
    from <= part.headerStart && part.headerStart <= part.bodyStart,
    "header before body, inside the parent",
  );
  check(part.bodyStart <= part.bodyEnd && part.bodyEnd <= to, "body inside the parent");
  check(part.children.length > 0 === (part.kind !== "leaf"), "only leaves have no children");
  check(part.kind !== "message" || part.children.length === 1, "a message part holds one message");
  let at = part.bodyStart;
  for (const child of part.children) {
    checkOffsets(child, at, part.bodyEnd);
    at = child.bodyEnd;
  }
}

function checkStored(structure: MessageStructure): void {
  const packed = packStructure(structure);
  const stored = unpackStructure(packed);
  checkEnvelope(readImap(stored.envelope));
  checkBody(readImap(stored.bodyStructure), true);
  checkBody(readImap(stored.body), false);
  check(stored.parts.length === structure.partCount, "all parts are stored");
  for (const part of stored.parts.slice(0, 100)) {
    if (part.path === undefined) continue;
    const found = findPart(packed, part.path, "body");
    check(found?.start === part.bodyStart && found.end === part.bodyEnd, "a part is found by its number");
  }
}

function checkHeader(structure: MessageStructure, input: Uint8Array): void {
  const block = input.subarray(0, structure.headerSizeBytes);
  for (const field of headerFields(block)) decodeHeaderValue(field.value);
  const all = selectHeaderFields(block, [], true);
  check(Buffer.compare(all, block) === 0, "all fields together are the header block");
}

/** Feed one input; throws when an invariant does not hold. */
export function run(input: Uint8Array): void {
  const scanner = new MessageScanner();
  scanner.write(input);
  const structure = scanner.end();
  check(
    structure.sizeBytes === input.length && structure.root.bodyEnd === input.length,
    "all octets are counted",
  );
  checkOffsets(structure.root, 0, input.length);
  for (const seed of [1, input.length + 7]) deepStrictEqual(scanChunked(input, seed), structure);
  checkStored(structure);
  checkHeader(structure, input);
}
