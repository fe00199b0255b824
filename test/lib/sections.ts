/**
 * The sections of one message that a test asks an IMAP server for, and what must come back: computed from the octets that
 * were sent, with the part table of the message.
 */
import { selectHeaderFields } from "../../src/core/mime/header.ts";
import { packStructure, unpackStructure } from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";

export interface Section {
  /** As in BODY.PEEK[name]<partial>. */
  readonly name: string;
  /** Name in the answer. */
  readonly answer: string;
  readonly expected: Buffer;
}

/** Of a message with more parts the first and the last so many are asked for. */
const PARTS_AT_EACH_END = 30;

/**
 * @param message      as it was sent
 * @param prefixBytes  octets that delivery put in front
 * @param whole        prefix and message
 */
export function sectionsOf(message: Buffer, prefixBytes: number, whole: Buffer): readonly Section[] {
  const scanner = new MessageScanner();
  scanner.write(message);
  const { parts } = unpackStructure(packStructure(scanner.end()));
  const at = (from: number, to: number) => whole.subarray(prefixBytes + from, prefixBytes + to);
  const root = parts[0];
  const headerEnd = root?.bodyStart ?? 0;
  const header = whole.subarray(0, prefixBytes + headerEnd);
  const sections = [
    section("HEADER", header),
    section("TEXT", at(headerEnd, message.length)),
    section("HEADER.FIELDS (SUBJECT RECEIVED)", select(header, ["subject", "received"], false)),
    section("HEADER.FIELDS.NOT (SUBJECT RECEIVED)", select(header, ["subject", "received"], true)),
    ...partials("", whole),
  ];
  const asked =
    parts.length <= 2 * PARTS_AT_EACH_END
      ? parts
      : [...parts.slice(0, PARTS_AT_EACH_END), ...parts.slice(-PARTS_AT_EACH_END)];
  for (const part of asked) {
    if (part.path === undefined) continue;
    const path = part.path.join(".");
    const body = at(part.bodyStart, part.bodyEnd);
    const mime = part.headerStart === 0 ? header : at(part.headerStart, part.bodyStart);
    sections.push(section(path, body), section(`${path}.MIME`, mime), ...partials(path, body));
    const inner = part.kind === "message" ? parts[parts.indexOf(part) + 1] : undefined;
    if (inner === undefined) continue;
    sections.push(section(`${path}.HEADER`, at(inner.headerStart, inner.bodyStart)));
    sections.push(section(`${path}.TEXT`, at(inner.bodyStart, inner.bodyEnd)));
  }
  return sections;
}

function section(name: string, expected: Buffer): Section {
  return { name: `[${name}]`, answer: `BODY[${name}]`, expected };
}

function select(header: Buffer, names: readonly string[], not: boolean): Buffer {
  return Buffer.from(selectHeaderFields(header, names, not));
}

/** From within, over the end, and behind the end. */
function partials(path: string, octets: Buffer): readonly Section[] {
  const offsets = [1, Math.max(0, octets.length - 3), octets.length + 5];
  return [...new Set(offsets)].map(offset => ({
    name: `[${path}]<${offset}.7>`,
    answer: `BODY[${path}]<${offset}>`,
    expected: octets.subarray(offset, offset + 7),
  }));
}
