/**
 * The search text that API, web interface and command line take, read into a query. Pure.
 *
 *   words and "phrases"      in subject, addresses, attachment names or text, all of them; parts of words too
 *   from: subject: tag:      all of them
 *   msgid: queueid: folder: account: domain:   one of them
 *   before: after:           YYYY-MM-DD (UTC) or RFC 3339; after: is that moment or later
 *   larger: smaller:         octets, or with k, m, g (1024)
 *   is:unread  has:attachment
 *   `-` in front negates any term
 *
 * A term about a copy (tag, folder, account, domain, is:unread) must hold for one and the same copy.
 */
import { MairustError } from "./errors.ts";
import { foldSearchText } from "./search-text/fold.ts";

/** Conditions on one text: all (or one, see above) of `some`, none of `none`. */
export interface TextTerms {
  readonly some: readonly string[];
  readonly none: readonly string[];
}

export interface MessageQuery {
  readonly words: TextTerms;
  readonly from: TextTerms;
  readonly subject: TextTerms;
  readonly messageIdHeader: TextTerms;
  readonly queueId: TextTerms;
  readonly tag: TextTerms;
  readonly folder: TextTerms;
  readonly account: TextTerms;
  readonly domain: TextTerms;
  /** Received at or after. */
  readonly receivedFrom: Date | undefined;
  /** Received before. */
  readonly receivedBefore: Date | undefined;
  /** Octets, inclusive. */
  readonly minSizeBytes: number | undefined;
  readonly maxSizeBytes: number | undefined;
  readonly unread: boolean | undefined;
  readonly hasAttachment: boolean | undefined;
}

/** Most terms of one search. */
export const MAX_SEARCH_TERMS = 32;

const TEXT_KEYS = {
  from: "from",
  subject: "subject",
  msgid: "messageIdHeader",
  queueid: "queueId",
  tag: "tag",
  folder: "folder",
  account: "account",
  domain: "domain",
} as const;
type TextKey = keyof typeof TEXT_KEYS;
type TextField = (typeof TEXT_KEYS)[TextKey] | "words";

/** Keys of the grammar that this version cannot answer; refused by name, never ignored. */
const NOT_BUILT = new Set(["to", "hook", "plugin", "verdict", "meta"]);

const KEYS = [...Object.keys(TEXT_KEYS), "before", "after", "larger", "smaller", "is", "has"];

interface Term {
  readonly negated: boolean;
  /** undefined: a word. */
  readonly key: string | undefined;
  readonly value: string;
}

/** A query while it is read. */
interface Draft {
  readonly texts: Record<TextField, { some: string[]; none: string[] }>;
  receivedFrom: Date | undefined;
  receivedBefore: Date | undefined;
  minSizeBytes: number | undefined;
  maxSizeBytes: number | undefined;
  unread: boolean | undefined;
  hasAttachment: boolean | undefined;
}

function refuse(text: string): MairustError {
  return new MairustError("invalid_argument", `Cannot read the search: ${text}`, { publicText: text });
}

/** Spaces separate terms; a value in double quotes may hold spaces, `\"` and `\\`. */
function splitTerms(text: string): Term[] {
  const terms: Term[] = [];
  const pattern = /\s*(-?)(?:([A-Za-z]+):)?(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)/gsuy;
  const end = text.trimEnd().length;
  while (pattern.lastIndex < end) {
    const at = pattern.lastIndex;
    const match = pattern.exec(text);
    if (match === null)
      throw refuse(`cannot read it from character ${at + 1} on; is a quote or a value missing?`);
    if (/^[A-Za-z]+:$/u.test(match[4] ?? "")) throw refuse(`"${match[4]}" needs a value`);
    const quoted = match[3]?.replace(/\\(.)/gsu, "$1");
    terms.push({ negated: match[1] === "-", key: match[2]?.toLowerCase(), value: quoted ?? match[4] ?? "" });
    if (terms.length > MAX_SEARCH_TERMS) throw refuse(`more than ${MAX_SEARCH_TERMS} terms`);
  }
  return terms;
}

function readDate(key: string, value: string): Date {
  const known = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/iu.test(value);
  const date = new Date(value);
  // V8 lets 2026-02-30 roll over into March.
  const rolled =
    known &&
    value.length === 10 &&
    !Number.isNaN(date.getTime()) &&
    date.toISOString().slice(0, 10) !== value;
  // PostgreSQL knows no year 0.
  if (!known || rolled || Number.isNaN(date.getTime()) || date.getUTCFullYear() < 1) {
    throw refuse(
      `${key}: takes a day such as 2026-11-21 or a time such as 2026-11-21T08:00:00Z, not "${value}"`,
    );
  }
  return date;
}

const UNIT_BYTES: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

function readSize(key: string, value: string): number {
  const match = /^(\d{1,12})([kmg]?)b?$/iu.exec(value);
  const bytes = Number(match?.[1] ?? Number.NaN) * (UNIT_BYTES[(match?.[2] ?? "").toLowerCase()] ?? 1);
  // 9999999g would be beyond what can be counted exactly, and beyond a bigint of the database.
  if (!(bytes < Number.MAX_SAFE_INTEGER))
    throw refuse(`${key}: takes a size such as 20000, 100k or 5M, not "${value}"`);
  return bytes;
}

const later = (a: Date | undefined, b: Date): Date => (a === undefined || b > a ? b : a);
const earlier = (a: Date | undefined, b: Date): Date => (a === undefined || b < a ? b : a);

/** `-before:x` is `after:x` and the other way round: both ends of a range are half-open. */
function addRange(draft: Draft, term: Term & { readonly key: string }): boolean {
  switch (term.key) {
    case "before":
    case "after": {
      const date = readDate(term.key, term.value);
      if ((term.key === "after") !== term.negated) draft.receivedFrom = later(draft.receivedFrom, date);
      else draft.receivedBefore = earlier(draft.receivedBefore, date);
      return true;
    }
    case "larger":
    case "smaller": {
      const bytes = readSize(term.key, term.value);
      const exclusive = term.negated ? 0 : 1;
      if ((term.key === "larger") !== term.negated) {
        draft.minSizeBytes = Math.max(draft.minSizeBytes ?? 0, bytes + exclusive);
      } else {
        draft.maxSizeBytes = Math.min(draft.maxSizeBytes ?? Number.MAX_SAFE_INTEGER, bytes - exclusive);
      }
      return true;
    }
    default:
      return false;
  }
}

function addState(draft: Draft, term: Term & { readonly key: string }): boolean {
  const wanted = !term.negated;
  if (term.key === "is") {
    if (term.value.toLowerCase() !== "unread") throw refuse(`is: takes "unread", not "${term.value}"`);
    draft.unread = wanted;
    return true;
  }
  if (term.key === "has") {
    if (term.value.toLowerCase() !== "attachment")
      throw refuse(`has: takes "attachment", not "${term.value}"`);
    draft.hasAttachment = wanted;
    return true;
  }
  return false;
}

function isTextKey(key: string): key is TextKey {
  return Object.hasOwn(TEXT_KEYS, key);
}

function addText(draft: Draft, field: TextField, term: Term): void {
  // Spaces and invisible marks alone are in every text.
  if (foldSearchText(term.value) === "") throw refuse("an empty value finds everything; leave the term out");
  draft.texts[field][term.negated ? "none" : "some"].push(term.value);
}

function addTerm(draft: Draft, term: Term): void {
  const { key } = term;
  if (key === undefined || isTextKey(key)) {
    addText(draft, key === undefined ? "words" : TEXT_KEYS[key], term);
    return;
  }
  const keyed = { ...term, key };
  if (addRange(draft, keyed) || addState(draft, keyed)) return;
  if (NOT_BUILT.has(key)) {
    const text = `the search key "${key}:" is not built in this version`;
    throw new MairustError("not_built", `Cannot search: ${text}`, { publicText: text });
  }
  throw refuse(
    `there is no key "${key}:" (there are ${KEYS.join(", ")}); to find the text itself, put it in quotes`,
  );
}

/**
 * @param text  at most `MAX_SEARCH_CHARS` characters (held by the schema); "" finds everything
 * @throws {MairustError} `invalid_argument`, `not_built`; `publicText` says what is wrong
 */
export function parseSearch(text: string): MessageQuery {
  const terms = () => ({ some: [], none: [] });
  const draft: Draft = {
    texts: {
      words: terms(),
      from: terms(),
      subject: terms(),
      messageIdHeader: terms(),
      queueId: terms(),
      tag: terms(),
      folder: terms(),
      account: terms(),
      domain: terms(),
    },
    receivedFrom: undefined,
    receivedBefore: undefined,
    minSizeBytes: undefined,
    maxSizeBytes: undefined,
    unread: undefined,
    hasAttachment: undefined,
  };
  for (const term of splitTerms(text)) addTerm(draft, term);
  const { texts, ...rest } = draft;
  return { ...texts, ...rest };
}
