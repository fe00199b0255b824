/**
 * A message without what it said, for fixtures: the same tree of parts, the same types, charsets and encodings, header fields of the same
 * names; other words, addresses, numbers and ids. Attachments become filler of the same size. The preamble of a multipart goes.
 */
import { randomBytes } from "node:crypto";
import { isTextLeaf } from "../../core/mime/attachments.ts";
import { decodeTextNamed } from "../../core/mime/charset.ts";
import { encodeText } from "../../core/mime/encode-charset.ts";
import { MessageScanner } from "../../core/mime/scanner.ts";
import type { MimePart } from "../../core/mime/structure.ts";
import { encodeBase64, encodeQuotedPrintable } from "../../core/mime/transfer-encode.ts";
import { decodeTransfer } from "../../core/permissions-transfer.ts";
import { redactHeader } from "./header.ts";
import { type Counts, GUARDED_LETTERS, Substitutes } from "./substitutes.ts";
import { type Rule, redactHtml, redactText } from "./text.ts";

export interface Redacted extends Counts {
  readonly bytes: Buffer;
  readonly attachments: number;
  /** An address of the envelope, as the message has it now. */
  readonly address: (address: string) => string;
}

/** @param rule  `addresses`: subject and texts stay as they are, but for addresses. @param key  random, and kept by nobody */
export function redactMessage(bytes: Uint8Array, rule: Rule, key: Uint8Array = randomBytes(32)): Redacted {
  const scanner = new MessageScanner();
  scanner.write(bytes);
  const { root } = scanner.end();
  const first = new Redaction(bytes, rule, new Substitutes(key, new Set()));
  first.part(root);
  const originals = [...first.to.seen].filter(word => [...word].length >= GUARDED_LETTERS);
  const second = new Redaction(bytes, rule, new Substitutes(key, new Set(originals)));
  const made = second.part(root);
  return {
    bytes: made,
    attachments: second.attachments,
    ...second.to.counts,
    address: address => (address === "" ? "" : second.to.address(address)),
  };
}

const CRLF = Buffer.from("\r\n");

class Redaction {
  readonly to: Substitutes;
  attachments = 0;
  readonly #bytes: Uint8Array;
  readonly #rule: Rule;

  constructor(bytes: Uint8Array, rule: Rule, to: Substitutes) {
    this.#bytes = bytes;
    this.#rule = rule;
    this.to = to;
  }

  part(part: MimePart): Buffer {
    const header = redactHeader(this.#slice(part.headerStart, part.bodyStart), this.to, this.#rule);
    return Buffer.concat([header, this.#body(part)]);
  }

  #body(part: MimePart): Buffer {
    const [child] = part.children;
    if (part.kind === "message" && child !== undefined) return this.part(child);
    if (part.kind === "multipart" && child !== undefined) return this.#multipart(part);
    return isTextLeaf(part) ? this.#text(part) : this.#attachment(part);
  }

  #multipart({ params, children, bodyEnd }: MimePart): Buffer {
    const written = params.find(({ name }) => name === "boundary")?.value ?? "";
    const boundary = this.to.boundary(written);
    const end = Buffer.from(this.#slice(children.at(-1)?.bodyEnd ?? bodyEnd, bodyEnd)).toString("latin1");
    const isClosed = end.includes(`--${written}--`);
    return Buffer.concat([
      ...children.flatMap(child => [Buffer.from(`--${boundary}\r\n`), this.part(child), CRLF]),
      ...(isClosed ? [Buffer.from(`--${boundary}--\r\n`)] : []),
    ]);
  }

  #text(part: MimePart): Buffer {
    const raw = this.#slice(part.bodyStart, part.bodyEnd);
    const octets = decodeTransfer(raw, part.encoding);
    if (octets === undefined) return this.#attachment(part);
    const declared = part.params.find(({ name }) => name === "charset")?.value ?? "";
    const { text, charset } = decodeTextNamed(octets, declared);
    const redact = part.subtype === "html" ? redactHtml : redactText;
    const redacted = redact(text, this.to, this.#rule);
    const encoded = encodeText(redacted, charset) ?? encodeText(redacted, declared || charset);
    // What the charset cannot write again is not kept either.
    return encodeTransfer(encoded ?? Buffer.from(redacted.replace(/[^\0-\x7f]/gu, "?")), part.encoding);
  }

  #attachment(part: MimePart): Buffer {
    this.attachments++;
    const raw = this.#slice(part.bodyStart, part.bodyEnd);
    const size = decodeTransfer(raw, part.encoding)?.byteLength ?? raw.byteLength;
    return encodeTransfer(filler(size), part.encoding);
  }

  #slice(start: number, end: number): Uint8Array {
    return this.#bytes.subarray(start, end);
  }
}

const FILLER_LINE = `${"0123456789".repeat(6)}\r\n`;

function filler(size: number): Buffer {
  return Buffer.alloc(size, FILLER_LINE, "latin1");
}

function encodeTransfer(octets: Uint8Array, encoding: string | undefined): Buffer {
  switch (encoding?.trim().toLowerCase()) {
    case "base64":
      return encodeBase64(octets);
    case "quoted-printable":
      return encodeQuotedPrintable(octets);
    default:
      return Buffer.from(octets);
  }
}
