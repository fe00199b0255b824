/**
 * A header block as text that SEARCH compares: fields decoded (RFC 2047) and folded, one at a time and only when asked.
 * Pure. Source: RFC 3501 §6.4.4 (HEADER, SENTON, TEXT).
 */
import { fold } from "../../core/mail-text/fold.ts";
import { feedHeader } from "../../core/mail-text/header-fields.ts";
import type { TextSink } from "../../core/mail-text/sink.ts";
import { decodeHeaderValue, headerFields, unfold } from "../../core/mime/header.ts";
import { dayNumber } from "./parse-search.ts";

/** `Fri, 21 Nov 1997 09:55:06 -0600`: day of week optional, two-digit years of RFC 5322 §4.3. */
const DATE = /(\d{1,2})[ \t]+([A-Za-z]{3})[A-Za-z]*[ \t]+(\d{2,4})/u;
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

export class HeaderText {
  readonly #block: Uint8Array;

  /** @param block  prefix and root header */
  constructor(block: Uint8Array) {
    this.#block = block;
  }

  /** @param name  lower case @param text  folded; "" matches when the field is there */
  fieldContains(name: string, text: string): boolean {
    for (const field of headerFields(this.#block)) {
      if (field.name === name && (text === "" || fold(decodeHeaderValue(field.value)).includes(text)))
        return true;
    }
    return false;
  }

  /** Day of the Date field as it is written, without time and zone; days since 1970-01-01. */
  sentDay(): number | undefined {
    for (const field of headerFields(this.#block)) {
      if (field.name !== "date") continue;
      const match = DATE.exec(unfold(field.value).slice(0, 100));
      const month = MONTHS.indexOf(match?.[2]?.toLowerCase() ?? "");
      if (match === null || month < 0) return undefined;
      return dayNumber(fullYear(match[3] ?? ""), month, Number(match[1]));
    }
    return undefined;
  }

  /** Give every field to `sink`, as `Name: value`. */
  feed(sink: TextSink): void {
    feedHeader(this.#block, sink);
  }
}

function fullYear(digits: string): number {
  const year = Number(digits);
  if (digits.length === 2) return year < 50 ? 2000 + year : 1900 + year;
  return digits.length === 3 ? 1900 + year : year;
}
