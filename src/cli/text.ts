/** Text for a terminal: what mail wrote must not move the cursor, change colours or reverse the line. Pure. */

/** C0, DEL, C1, line and paragraph separators, direction controls (Unicode UAX #9), BOM. */
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/gu;
const CONTROLS_BUT_BREAKS =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/gu;

const visible = (found: string): string => {
  const code = found.codePointAt(0) ?? 0;
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
};

/** @returns the text on one line, control characters as `\x1b` or `\u{202e}` */
export function printable(text: string): string {
  return text.replace(CONTROLS, visible);
}

/** As {@link printable}, but line breaks and tabs stay: for text that we composed of several lines. */
export function printableLines(text: string): string {
  return text.replace(CONTROLS_BUT_BREAKS, visible);
}

/** JSON for a terminal: JSON.stringify() leaves C1 and direction controls as they are. */
export function printableJson(value: unknown, indent?: number): string {
  return (JSON.stringify(value, undefined, indent) ?? "null").replace(
    /[\u007f-\u009f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/gu,
    found => `\\u${(found.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}

/** Characters that take two columns (Unicode TR11 W and F, the common blocks) and those that take none. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const ZERO = /\p{Mn}|\p{Me}|\u200b|\u200d/u;

/** Columns that a printable text takes. */
export function columnsOf(text: string): number {
  let columns = 0;
  for (const char of text) columns += ZERO.test(char) ? 0 : WIDE.test(char) ? 2 : 1;
  return columns;
}

/** Cut to `columns`, with `…` at the end where something is missing. */
export function fit(text: string, columns: number): string {
  if (columnsOf(text) <= columns) return text;
  let out = "";
  let used = 0;
  for (const char of text) {
    const width = columnsOf(char);
    if (used + width > columns - 1) break;
    out += char;
    used += width;
  }
  return `${out}…`;
}

export function pad(text: string, columns: number, right = false): string {
  const spaces = " ".repeat(Math.max(0, columns - columnsOf(text)));
  return right ? spaces + text : text + spaces;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `1.5 MiB`; octets below 1 KiB without fraction. */
export function sizeText(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** `2026-11-21 01:02:03` in UTC. */
export function timeText(rfc3339: string): string {
  return rfc3339.slice(0, 19).replace("T", " ");
}

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

/** Octets as people write them: `500M`, `2G`, `1048576`, `none`. @returns undefined for anything else */
export function parseSize(text: string): number | undefined {
  if (text === "none") return 0;
  const match = /^(\d{1,12})([KMGT]?)(?:i?B)?$/iu.exec(text);
  const bytes = Number(match?.[1]) * (FACTORS[(match?.[2] ?? "").toUpperCase()] ?? 1);
  return match === null || !Number.isSafeInteger(bytes) ? undefined : bytes;
}
