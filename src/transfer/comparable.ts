/**
 * By what a message is known again on another server: its bytes without what each server adds on top (Return-Path, Delivered-To, the
 * Received in front) and without what the milter wrote for LMTP and LMTP for the next hop, with CRLF line ends and NUL as Dovecot shows it (0x80). Two digests: one of the beginning, cheap to get for many
 * messages, and one of all. Only the second one decides. Pure but for the digest.
 */
import { createHash, type Hash } from "node:crypto";
import { CrlfConverter } from "./crlf.ts";

/** What of a message is read to find candidates: the fields on top are within it. */
export const HEAD_BYTES = 8192;
/** Of it without these fields, so much counts. */
const KEY_BYTES = 1024;

/** All Received in front: mail that was relayed has one more there than its copy here. */
const ON_TOP: ReadonlySet<string> = new Set(["return-path", "delivered-to", "received"]);
/** Fields of ours that one of two copies of the same mail has, wherever they stand. */
const OURS: ReadonlySet<string> = new Set(["x-mairust-trace", "x-mairust-folder"]);
const CR = 0x0d;
const LF = 0x0a;

export class ComparableDigest {
  readonly #crlf = new CrlfConverter();
  readonly #hash: Hash = createHash("sha256");
  #head: Buffer[] = [];
  #headBytes = 0;
  #key: string | undefined;

  update(chunk: Buffer): void {
    const bytes = this.#crlf.convert(withoutNul(chunk));
    if (this.#key !== undefined) {
      this.#hash.update(bytes);
      return;
    }
    this.#head.push(bytes);
    this.#headBytes += bytes.length;
    if (this.#headBytes >= HEAD_BYTES) this.#closeHead();
  }

  /** Ends it. */
  result(): { readonly key: string; readonly digest: string } {
    const key = this.#key ?? this.#closeHead();
    return { key, digest: this.#hash.digest("hex") };
  }

  #closeHead(): string {
    const head = withoutTop(Buffer.concat(this.#head));
    this.#head = [];
    this.#hash.update(head);
    this.#key = createHash("sha256").update(head.subarray(0, KEY_BYTES)).digest("base64");
    return this.#key;
  }
}

export async function comparableOf(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ readonly key: string; readonly digest: string }> {
  const comparable = new ComparableDigest();
  for await (const chunk of chunks)
    comparable.update(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
  return comparable.result();
}

/** @param head  the beginning of a message, CRLF; a field that does not end in it stays */
export function withoutTop(head: Buffer): Buffer {
  let top = 0;
  let from: number | undefined;
  const kept: Buffer[] = [];
  for (const { name, start, end } of fieldsOf(head)) {
    if (start === top && (ON_TOP.has(name) || OURS.has(name))) top = end;
    else if (OURS.has(name)) {
      kept.push(head.subarray(from ?? top, start));
      from = end;
    }
  }
  const rest = head.subarray(from ?? top);
  return kept.length === 0 ? rest : Buffer.concat([...kept, rest]);
}

function* fieldsOf(head: Buffer): Iterable<{ name: string; start: number; end: number }> {
  for (let start = 0; start < head.length; ) {
    const end = fieldEnd(head, start);
    const colon = head.indexOf(0x3a, start);
    if (end === undefined || colon < 0 || colon >= end) return;
    yield { name: head.subarray(start, colon).toString("latin1").trimEnd().toLowerCase(), start, end };
    start = end;
  }
}

/** Behind the field's last line; undefined: its end is not there. */
function fieldEnd(bytes: Buffer, from: number): number | undefined {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    const next = bytes[at + 1];
    if (next === undefined) return undefined;
    if (bytes[at - 1] === CR && next !== 0x20 && next !== 0x09) return at + 1;
  }
  return undefined;
}

/** As Dovecot shows it. */
export function withoutNul(bytes: Buffer): Buffer {
  if (!bytes.includes(0)) return bytes;
  const copy = Buffer.from(bytes);
  for (let at = copy.indexOf(0); at >= 0; at = copy.indexOf(0, at + 1)) copy[at] = 0x80;
  return copy;
}
