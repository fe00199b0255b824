/**
 * The moment that a Date field names. Tolerant: a zone that is none is UTC, a time that is none is midnight; without a day there is no
 * date. Pure. Source: RFC 5256 §2.2; RFC 5322 §3.3 and §4.3 (obsolete zones and years).
 */
import type { ByteText } from "../mime/structure.ts";

/** Octets of the field that are looked at. */
const DATE_BYTES_MAX = 200;
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY =
  /^[ \t]*(?:[A-Za-z]+[ \t]*,?[ \t]*)?(\d{1,2})[ \t-]+([A-Za-z]{3})[A-Za-z]*[ \t-]+(\d{2,4})(?!\d)/u;
const TIME = /^[ \t]*(\d{1,2})[ \t]*:[ \t]*(\d{2})(?:[ \t]*:[ \t]*(\d{2}))?(?!\d)/u;
const OFFSET = /^[ \t]*([+-])(\d{2})(\d{2})(?!\d)/u;
const ZONE_NAME = /^[ \t]*([A-Za-z]+)/u;
/** Hours west of Greenwich. RFC 5322 §4.3. */
const ZONES: ReadonlyMap<string, number> = new Map([
  ["EDT", 4],
  ["EST", 5],
  ["CDT", 5],
  ["CST", 6],
  ["MDT", 6],
  ["MST", 7],
  ["PDT", 7],
  ["PST", 8],
]);

/**
 * @param value  unfolded
 * @returns seconds since 1970, or undefined when it names no day
 */
export function sentSeconds(value: ByteText): number | undefined {
  const text = withoutComments(value.slice(0, DATE_BYTES_MAX));
  const day = DAY.exec(text);
  const month = MONTHS.indexOf(day?.[2]?.toLowerCase() ?? "");
  if (day === null || month < 0) return undefined;
  const date = Number(day[1]);
  const midnight = secondsOf(fullYear(day[3] ?? ""), month, date);
  if (new Date(midnight * 1000).getUTCDate() !== date) return undefined;
  const rest = text.slice(day[0].length);
  const time = TIME.exec(rest);
  const [hours, minutes, seconds] = [Number(time?.[1]), Number(time?.[2]), Number(time?.[3] ?? 0)];
  if (time === null || hours > 23 || minutes > 59 || seconds > 60) return midnight;
  const local = midnight + hours * 3600 + minutes * 60 + seconds;
  return local - zoneSeconds(rest.slice(time[0].length));
}

function secondsOf(year: number, month: number, day: number): number {
  // Date.UTC takes years below 100 for those of the last century.
  const date = new Date(0);
  date.setUTCFullYear(year, month, day);
  return date.getTime() / 1000;
}

/** Seconds east of Greenwich. */
function zoneSeconds(text: string): number {
  const offset = OFFSET.exec(text);
  if (offset !== null) {
    const seconds = Number(offset[2]) * 3600 + Number(offset[3]) * 60;
    return offset[1] === "-" ? -seconds : seconds;
  }
  const name = ZONE_NAME.exec(text)?.[1]?.toUpperCase() ?? "";
  return -(ZONES.get(name) ?? 0) * 3600;
}

function fullYear(digits: string): number {
  const year = Number(digits);
  if (digits.length === 2) return year < 50 ? 2000 + year : 1900 + year;
  return digits.length === 3 ? 1900 + year : year;
}

function withoutComments(text: string): string {
  let depth = 0;
  let out = "";
  for (const character of text) {
    if (character === "(") depth += 1;
    else if (character === ")" && depth > 0) depth -= 1;
    else if (depth === 0) out += character;
  }
  return out;
}
