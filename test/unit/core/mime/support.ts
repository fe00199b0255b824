/** Helpers of the MIME tests: scanning text, printing trees, reading IMAP data back, finding the mail corpus. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { MessageScanner } from "../../../../src/core/mime/scanner.ts";
import type { MessageStructure, MimePart } from "../../../../src/core/mime/structure.ts";
import { CORPUS, corpusThere } from "../../../lib/corpus.ts";

/** Octets of a text in which each character is one octet. */
export function octets(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Lines to a message, CRLF between and after them. */
export function message(...lines: string[]): Buffer {
  return octets(lines.map(line => `${line}\r\n`).join(""));
}

export function scan(bytes: Uint8Array, chunkBytes: number = bytes.length): MessageStructure {
  const scanner = new MessageScanner();
  for (let at = 0; at < bytes.length; at += Math.max(1, chunkBytes)) {
    scanner.write(bytes.subarray(at, at + Math.max(1, chunkBytes)));
  }
  return scanner.end();
}

/** All nodes, parents first. Not recursive: the trees are deep. */
export function allParts(root: MimePart): readonly MimePart[] {
  const out: MimePart[] = [];
  const waiting: MimePart[] = [root];
  for (let part = waiting.pop(); part !== undefined; part = waiting.pop()) {
    out.push(part);
    waiting.push(...[...part.children].reverse());
  }
  return out;
}

/** `multipart/mixed(text/plain,application/pdf)` */
export function shape(part: MimePart): string {
  const children = part.children.map(shape).join(",");
  return `${part.type}/${part.subtype}${children === "" ? "" : `(${children})`}`;
}

/** The octets of a part's body. */
export function bodyOf(bytes: Uint8Array, part: MimePart | undefined): string {
  return part === undefined
    ? "?"
    : Buffer.from(bytes.subarray(part.bodyStart, part.bodyEnd)).toString("latin1");
}

/** Where the mail corpus lies, or undefined: then its tests are skipped, visibly. In CI that is a failure. */
export function corpusFolder(): string | undefined {
  return corpusThere() ? CORPUS : undefined;
}

export function corpusFiles(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith(".eml"))
    .map(entry => join(entry.parentPath, entry.name))
    .sort();
}
