/**
 * How values look on the IMAP wire. Pure. Source: RFC 3501 §9 (string, flag-list, date-time, mailbox).
 */
import { systemFlagNames } from "../../core/flag-names.ts";
import type { FlagSets } from "../../core/flag-table.ts";
import { encodeModifiedUtf7 } from "../../core/modified-utf7.ts";
import type { MailboxInfo } from "../../core/ports/mailboxes.ts";
import type { FlagSet } from "../../core/ports/store.ts";
import { isAtom } from "./lexer.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Keywords in one FLAGS answer, and their characters. */
const TOLD_KEYWORDS = 500;
const TOLD_KEYWORD_CHARS = 16_384;

/** `"…"`; octets that no quoted string may hold become `?`, so nothing can break the line. */
export function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/gu, "?").replace(/["\\]/gu, "\\$&")}"`;
}

/**
 * A mailbox name: always quoted, in modified UTF-7, or once IMAP4rev2 is enabled in UTF-8 (RFC 9051 §5.1), then one character for
 * each octet.
 */
export function wireMailbox(name: string, isRev2: boolean): string {
  if (!isRev2) return quoted(encodeModifiedUtf7(name));
  const octets = Buffer.from(name.replace(/\p{Cc}/gu, "?")).toString("latin1");
  return `"${octets.replace(/["\\]/gu, "\\$&")}"`;
}

/** RFC 8474 §4: the row's number, which is never used again; a name that is made anew has another one. */
export function mailboxObjectId({ id }: Pick<MailboxInfo, "id">): string {
  return `F${id}`;
}

/** Flags separated by spaces, without parentheses. Keywords that are no atoms cannot be shown and are left out. */
export function flagNames(flags: FlagSet): string {
  const names: string[] = systemFlagNames(flags.system);
  for (const keyword of flags.keywords) if (isAtom(keyword)) names.push(keyword);
  return names.join(" ");
}

/** The flags a mailbox knows, for the untagged FLAGS answer. */
export function knownFlags(flags: FlagSets): string {
  return ["\\Answered \\Flagged \\Deleted \\Seen \\Draft", ...toldKeywords(flags)].join(" ");
}

/**
 * A line for each new keyword with all others in it would have no bound: when there are very many, those that came last are told with
 * their messages alone.
 */
function toldKeywords(flags: FlagSets): readonly string[] {
  const told: string[] = [];
  let chars = 0;
  for (const keyword of flags.keywords) {
    if (!isAtom(keyword)) continue;
    chars += keyword.length + 1;
    if (told.length >= TOLD_KEYWORDS || chars > TOLD_KEYWORD_CHARS) break;
    told.push(keyword);
  }
  return told.sort();
}

/** PERMANENTFLAGS where flags are writable (RFC 3501 §7.1): what FLAGS tells, and new keywords. Messages are not deleted. */
export function permanentFlags(flags: FlagSets): string {
  return ["\\Answered \\Flagged \\Seen \\Draft", ...toldKeywords(flags), "\\*"].join(" ");
}

/** RFC 3501 date-time in UTC: `" 1-Feb-2026 09:05:00 +0000"`. */
export function dateTime(at: Date): string {
  const day = String(at.getUTCDate()).padStart(2, " ");
  const month = MONTHS[at.getUTCMonth()] ?? "Jan";
  const year = String(at.getUTCFullYear()).padStart(4, "0");
  return `"${day}-${month}-${year} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())} +0000"`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
