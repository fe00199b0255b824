/**
 * How the egress ledger lies on disk: one line per entry, `<CRC-32 of the text, 8 hex digits> <JSON>\n`, in segments that are full of
 * zeros where nothing was written yet. Pure.
 *
 * What a crash can leave: a last line that is cut, or zeros in place of it. Nobody was told that such an entry is recorded, so it is
 * left out. A line in the middle whose sum is wrong is damage, and is counted.
 */
import { crc32 } from "node:zlib";
import type { LedgerEntry } from "../core/ports/ledger.ts";

/** Longest line, in octets: an entry of 300 header names is a tenth of it. */
export const MAX_LINE_BYTES = 262_144;

const LF = 0x0a;
const SUM_CHARS = 8;

export function encodeLine(entry: LedgerEntry): Buffer {
  const text = JSON.stringify(entry);
  return Buffer.from(`${sumOf(text)} ${text}\n`);
}

export interface DecodedLines {
  readonly entries: readonly LedgerEntry[];
  /** Octets up to the end of the last whole line. */
  readonly consumed: number;
  /** Lines that are whole and not what was written. */
  readonly damaged: number;
}

/** @param bytes  from the beginning of a line on; the last line may be cut */
export function decodeLines(bytes: Buffer): DecodedLines {
  const entries: LedgerEntry[] = [];
  let consumed = 0;
  let damaged = 0;
  // A zero where a line begins: nothing was written from here on.
  while (consumed < bytes.length && bytes[consumed] !== 0) {
    const end = bytes.indexOf(LF, consumed);
    if (end === -1) break;
    const entry = decodeLine(bytes.toString("utf8", consumed, end));
    if (entry === undefined) damaged += 1;
    else entries.push(entry);
    consumed = end + 1;
  }
  return { entries, consumed, damaged };
}

function decodeLine(line: string): LedgerEntry | undefined {
  const text = line.slice(SUM_CHARS + 1);
  if (line[SUM_CHARS] !== " " || line.slice(0, SUM_CHARS) !== sumOf(text)) return undefined;
  // The sum is right, so this is what encodeLine() made of an entry.
  const entry = JSON.parse(text) as Omit<LedgerEntry, "at"> & { readonly at: string };
  return { ...entry, at: new Date(entry.at) };
}

function sumOf(text: string): string {
  return crc32(text).toString(16).padStart(SUM_CHARS, "0");
}
