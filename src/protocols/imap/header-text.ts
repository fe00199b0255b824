/**
 * What SEARCH asks of a header block: fields decoded (RFC 2047) and folded, one at a time and only when asked. Pure.
 * Source: RFC 3501 §6.4.4 (HEADER, SENTON).
 */
import { feedValue } from "../../core/mail-text/header-fields.ts";
import { StreamMatcher } from "../../core/mail-text/matcher.ts";
import { type HeaderField, headerFieldsInSteps, unfold } from "../../core/mime/header.ts";
import type { Steps } from "../../core/steps.ts";
import { dayNumber, type SearchKey } from "./parse-search.ts";

/** `Fri, 21 Nov 1997 09:55:06 -0600`: day of week optional, two-digit years of RFC 5322 §4.3. */
const DATE = /(\d{1,2})[ \t]+([A-Za-z]{3})[A-Za-z]*[ \t]+(\d{2,4})/u;
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

export type HeaderKey = Extract<SearchKey, { kind: "header" }>;

/** What a search asks of the header of one message. */
export interface HeaderFacts {
  /** The keys that match. */
  readonly found: ReadonlySet<HeaderKey>;
  /** Day of the Date field as it is written, without time and zone; days since 1970-01-01. */
  readonly sentDay: number | undefined;
}

/**
 * One pass over a header block for all that is asked of it: a header of megabytes is no reason for others to wait.
 * @param block  prefix and root header
 * @param keys   a text of "" matches when the field is there
 */
export function* readHeader(block: Uint8Array, keys: readonly HeaderKey[]): Steps<HeaderFacts> {
  const matchers = matchersOf(keys);
  const there = new Set<string>();
  let date: HeaderField | undefined;
  for (const field of headerFieldsInSteps(block)) {
    if (field === undefined) {
      yield;
      continue;
    }
    if (field.name === "date") date ??= field;
    const matcher = matchers.get(field.name);
    if (matcher === undefined) continue;
    there.add(field.name);
    yield* lookAt(field, matcher);
  }
  const found = keys.filter(
    ({ field, text }) => there.has(field) && (text === "" || matchers.get(field)?.has(text) === true),
  );
  return { found: new Set(found), sentDay: date === undefined ? undefined : dayOf(date) };
}

/** One for each field that is asked for. */
function matchersOf(keys: readonly HeaderKey[]): ReadonlyMap<string, StreamMatcher> {
  const texts = new Map<string, string[]>();
  for (const { field, text } of keys) {
    const asked = texts.get(field) ?? [];
    if (text !== "") asked.push(text);
    texts.set(field, asked);
  }
  return new Map(Array.from(texts, ([field, asked]) => [field, new StreamMatcher(asked)]));
}

function* lookAt({ value }: HeaderField, matcher: StreamMatcher): Steps<void> {
  if (matcher.done) return;
  const steps = feedValue(value, matcher);
  while (steps.next().done !== true && !matcher.done) {
    yield;
    yield* matcher.look();
  }
  matcher.cut();
  yield* matcher.look();
}

/** Octets that hold what is looked at of a date, whatever is folded in it. */
const DATE_OCTETS = 1024;

function dayOf({ value }: HeaderField): number | undefined {
  const match = DATE.exec(unfold(value.subarray(0, DATE_OCTETS)).slice(0, 100));
  const month = MONTHS.indexOf(match?.[2]?.toLowerCase() ?? "");
  if (match === null || month < 0) return undefined;
  return dayNumber(fullYear(match[3] ?? ""), month, Number(match[1]));
}

function fullYear(digits: string): number {
  const year = Number(digits);
  if (digits.length === 2) return year < 50 ? 2000 + year : 1900 + year;
  return digits.length === 3 ? 1900 + year : year;
}
