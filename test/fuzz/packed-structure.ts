/** Fuzz target: the reader of stored structures. Damaged bytes are `data_invalid` or readable, and cost no more than their length. */
import { MairustError } from "../../src/core/errors.ts";
import {
  findPart,
  type PartSection,
  packedBody,
  packedBodyStructure,
  packedEnvelope,
  packStructure,
  unpackStructure,
} from "../../src/core/mime/packed.ts";
import { MessageScanner } from "../../src/core/mime/scanner.ts";
import { mimeMessage } from "./lib/mime-grammar.ts";
import type { Random } from "./lib/random.ts";
import { check } from "./lib/target.ts";

export const name = "packed-structure";
export const words = [
  "\xff\xff\xff\xff\x0f",
  "\x80\x00",
  "\xff\xff\xff\xff\xff\xff\xff\x0f",
  "\x00",
  "\x01",
  "\x02",
  "\x03text/plain",
];

function pack(message: string): Uint8Array {
  const scanner = new MessageScanner();
  scanner.write(Buffer.from(message, "latin1"));
  return packStructure(scanner.end());
}

/** `levels` nodes with one child each: bytes that claim a deep tree. */
function deep(levels: number): Uint8Array {
  const row = Buffer.from([1, 1, 0, 0, 0, 0, 0, 0]);
  const table = Buffer.concat(Array.from({ length: levels }, () => row));
  const size = [(table.length & 0x7f) | 0x80, ((table.length >> 7) & 0x7f) | 0x80, table.length >> 14];
  return Buffer.concat([Buffer.from([1, 0, 0, 0, 0, ...size]), table]);
}

export const maxBytes = 65_536;
export const seeds = [
  pack("Subject: x\r\n\r\nbody"),
  pack(
    'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n--b--\r\n',
  ),
  deep(30),
  deep(4000),
];

export function generate(random: Random): Uint8Array {
  return pack(mimeMessage(random));
}

const PATHS: ReadonlyArray<readonly number[]> = [
  [],
  [1],
  [2],
  [1, 1],
  [2, 1, 1],
  [0],
  [1, 1, 1, 1, 1, 1, 1],
  [Number.NaN],
];
const SECTIONS: readonly PartSection[] = ["body", "header", "text", "mime"];

/** @throws {Error} an invariant does not hold */
export function run(input: Uint8Array): void {
  const views = [packedEnvelope, packedBodyStructure, packedBody].map(read => documented(() => read(input)));
  check(
    views.every(view => view === undefined || view.length <= input.length),
    "a view lies within the bytes",
  );
  const whole = documented(() => unpackStructure(input));
  if (whole !== undefined) {
    // Eight octets are the least a node takes.
    check(whole.parts.length * 8 <= input.length, "no more parts than the bytes hold");
    check(
      whole.parts.every(part => part.headerStart <= part.bodyStart && part.bodyStart <= part.bodyEnd),
      "offsets go up",
    );
  }
  for (const path of PATHS) {
    for (const section of SECTIONS) {
      const range = documented(() => findPart(input, path, section));
      check(range === undefined || range.start <= range.end, "a range goes up");
    }
  }
}

function documented<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MairustError && error.code === "data_invalid") return undefined;
    throw error;
  }
}
