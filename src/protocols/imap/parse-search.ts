/**
 * Search keys as data, and their parser. Pure. Source: RFC 3501 §6.4.4 and §9, RFC 5032 (OLDER, YOUNGER), RFC 7162 §3.1.5
 * (MODSEQ), RFC 5182 (`$`).
 */
import { fold } from "../../core/mail-text/fold.ts";
import { decodeText } from "../../core/mime/charset.ts";
import { FLAG_ANSWERED, FLAG_DELETED, FLAG_DRAFT, FLAG_FLAGGED, FLAG_SEEN } from "../../core/ports/store.ts";
import type { Steps } from "../../core/steps.ts";
import type { Lexer } from "./lexer.ts";
import type { ImapLimits } from "./limits.ts";
import { parseModseq } from "./parse-modseq.ts";
import { parseReturn, type SearchReturn } from "./parse-search-return.ts";
import { type ObjectIdKey, parseObjectId } from "./search-object-id.ts";
import { SAVED, type SequenceSet } from "./sequence-set.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export type SearchKey =
  | { readonly kind: "constant"; readonly value: boolean }
  | { readonly kind: "flag"; readonly bit: number; readonly on: boolean }
  /** `word` is lower case. */
  | { readonly kind: "keyword"; readonly word: string; readonly on: boolean }
  | { readonly kind: "sequence"; readonly set: SequenceSet }
  | { readonly kind: "uid"; readonly set: SequenceSet }
  /** Changed at `from` or later. */
  | { readonly kind: "modseq"; readonly from: number }
  | ObjectIdKey
  | ({ readonly kind: "received" } & DayRule)
  | ({ readonly kind: "sent" } & DayRule)
  | { readonly kind: "size"; readonly larger: boolean; readonly bytes: number }
  | { readonly kind: "age"; readonly older: boolean; readonly seconds: number }
  /** `text` is folded; "" asks only whether the field is there. `field` is lower case. */
  | { readonly kind: "header"; readonly field: string; readonly text: string }
  | { readonly kind: "content"; readonly withHeader: boolean; readonly text: string }
  | { readonly kind: "not"; readonly key: SearchKey }
  | { readonly kind: "and"; readonly keys: readonly SearchKey[] }
  | { readonly kind: "or"; readonly keys: readonly SearchKey[] };

/** `day` counts days since 1970-01-01, without time and zone. */
interface DayRule {
  readonly when: "before" | "on" | "since";
  readonly day: number;
}

export interface SearchCommand {
  readonly kind: "SEARCH";
  readonly uid: boolean;
  /** The command's own, for the answer of an extended search. */
  readonly tag: string;
  /** Undefined: a plain SEARCH. */
  readonly returns: SearchReturn | undefined;
  readonly request: SearchRequest;
}

/** What SEARCH, and whatever else begins with a search, looks for. */
export interface SearchRequest {
  /** Upper case, or undefined when the client named none. */
  readonly charset: string | undefined;
  readonly key: SearchKey;
}

const FLAGS: ReadonlyMap<string, number> = new Map([
  ["ANSWERED", FLAG_ANSWERED],
  ["DELETED", FLAG_DELETED],
  ["DRAFT", FLAG_DRAFT],
  ["FLAGGED", FLAG_FLAGGED],
  ["SEEN", FLAG_SEEN],
]);
const utf8 = (octets: Buffer) => octets.toString("utf8");
/** What search text may be written in. US-ASCII is a part of UTF-8, which clients send without saying so. */
const CHARSETS: ReadonlyMap<string, (octets: Buffer) => string> = new Map([
  ["US-ASCII", utf8],
  ["UTF-8", utf8],
  ["ISO-2022-JP", octets => decodeText(octets, "iso-2022-jp")],
]);
export const SEARCH_CHARSETS: readonly string[] = [...CHARSETS.keys()];

/** RFC 7162 §7 (entry-type-req). */
const ENTRY_TYPES: ReadonlySet<string> = new Set(["PRIV", "SHARED", "ALL"]);

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY_MS = 86_400_000;

export type SearchLimits = Pick<ImapLimits, "searchKeys" | "searchDepth" | "searchTextChars">;

/**
 * @param lexer  behind the name of the command
 * @throws {ImapSyntaxError} also when the limits on number or depth of keys are passed
 */
export function* parseSearch(
  lexer: Lexer,
  uid: boolean,
  limits: SearchLimits,
  tag: string,
): Steps<SearchCommand> {
  lexer.space();
  const parser = new SearchParser(lexer, limits);
  return { kind: "SEARCH", uid, tag, returns: parser.returns(), request: yield* parser.request() };
}

/**
 * The same of a command that names its charset first (RFC 5256 §3).
 * @param lexer  behind the charset
 */
export function parseSearchIn(lexer: Lexer, charset: string, limits: SearchLimits): Steps<SearchRequest> {
  lexer.space();
  return new SearchParser(lexer, limits).requestIn(charset);
}

class SearchParser {
  readonly #lexer: Lexer;
  readonly #depth: number;
  readonly #textChars: number;
  #keysLeft: number;
  #decode = utf8;
  /** The first word, when it was read to see whether it is RETURN. */
  #word: string | undefined;

  constructor(lexer: Lexer, limits: SearchLimits) {
    this.#lexer = lexer;
    this.#keysLeft = limits.searchKeys;
    this.#depth = limits.searchDepth;
    this.#textChars = limits.searchTextChars;
  }

  /** RFC 4466 §2.6.1: before charset and keys. */
  returns(): SearchReturn | undefined {
    if (this.#startsWithoutWord()) return undefined;
    this.#word = this.#lexer.keyword();
    if (this.#word !== "RETURN") return undefined;
    this.#word = undefined;
    const returns = parseReturn(this.#lexer);
    this.#lexer.space();
    return returns;
  }

  *request(): Steps<SearchRequest> {
    const lexer = this.#lexer;
    let charset: string | undefined;
    let first: SearchKey | undefined;
    if (this.#word !== undefined || !this.#startsWithoutWord()) {
      const word = this.#word ?? lexer.keyword();
      if (word === "CHARSET") {
        lexer.space();
        charset = lexer.astring().toString("latin1").toUpperCase();
        this.#readAs(charset);
        lexer.space();
      } else first = yield* this.#named(word, this.#depth);
    }
    const keys = first === undefined ? [yield* this.#key(this.#depth)] : [first];
    while (!lexer.atEnd) {
      lexer.space();
      if (!lexer.atEnd) keys.push(yield* this.#key(this.#depth));
    }
    return { charset, key: all(keys) };
  }

  *requestIn(charset: string): Steps<SearchRequest> {
    this.#readAs(charset);
    return { ...(yield* this.request()), charset };
  }

  /** A charset that we do not know is refused when all of the command was read: its syntax does not depend on it. */
  #readAs(charset: string): void {
    this.#decode = CHARSETS.get(charset) ?? utf8;
  }

  /** A sequence set or a group: neither begins with a letter. */
  #startsWithoutWord(): boolean {
    const next = String.fromCharCode(this.#lexer.peek());
    return /[0-9*($]/u.test(next);
  }

  *#key(depth: number): Steps<SearchKey> {
    yield;
    if (depth <= 0) throw new ImapSyntaxError("SEARCH is nested too deeply");
    this.#keysLeft -= 1;
    if (this.#keysLeft < 0) throw new ImapSyntaxError("SEARCH has too many keys");
    const lexer = this.#lexer;
    if (lexer.skip("(")) {
      const keys = [yield* this.#key(depth - 1)];
      while (!lexer.skip(")")) {
        lexer.space();
        keys.push(yield* this.#key(depth - 1));
      }
      return all(keys);
    }
    if (this.#startsWithoutWord()) return messages(yield* lexer.sequenceSet());
    return yield* this.#named(lexer.keyword(), depth);
  }

  *#named(word: string, depth: number): Steps<SearchKey> {
    const positive = FLAGS.get(word);
    if (positive !== undefined) return { kind: "flag", bit: positive, on: true };
    const negative = word.startsWith("UN") ? FLAGS.get(word.slice(2)) : undefined;
    if (negative !== undefined) return { kind: "flag", bit: negative, on: false };
    switch (word) {
      case "ALL":
      // No message is ever \Recent here: all are OLD, none is NEW.
      case "OLD":
        return { kind: "constant", value: true };
      case "RECENT":
      case "NEW":
        return { kind: "constant", value: false };
    }
    this.#lexer.space();
    return yield* this.#withArgument(word, depth);
  }

  *#withArgument(word: string, depth: number): Steps<SearchKey> {
    const lexer = this.#lexer;
    switch (word) {
      case "NOT":
        return { kind: "not", key: yield* this.#key(depth - 1) };
      case "OR": {
        const left = yield* this.#key(depth - 1);
        lexer.space();
        return { kind: "or", keys: [left, yield* this.#key(depth - 1)] };
      }
      case "KEYWORD":
      case "UNKEYWORD":
        return { kind: "keyword", word: lexer.atom().toLowerCase(), on: word === "KEYWORD" };
      case "UID":
        return { kind: "uid", set: yield* lexer.sequenceSet() };
      case "MODSEQ":
        return { kind: "modseq", from: this.#modseq() };
      case "EMAILID":
      case "THREADID":
        return { kind: "objectId", of: word, id: parseObjectId(this.#lexer) };
      case "LARGER":
      case "SMALLER":
        return { kind: "size", larger: word === "LARGER", bytes: lexer.number() };
      case "OLDER":
      case "YOUNGER":
        return { kind: "age", older: word === "OLDER", seconds: this.#seconds() };
      case "HEADER": {
        const field = lexer.astring().toString("latin1").toLowerCase();
        lexer.space();
        return { kind: "header", field, text: this.#text() };
      }
      case "BCC":
      case "CC":
      case "FROM":
      case "SUBJECT":
      case "TO":
        return { kind: "header", field: word.toLowerCase(), text: this.#text() };
      case "BODY":
      case "TEXT":
        return { kind: "content", withHeader: word === "TEXT", text: this.#text() };
      default:
        return this.#dated(word);
    }
  }

  #dated(word: string): SearchKey {
    const match = /^(SENT)?(BEFORE|ON|SINCE)$/u.exec(word);
    if (match === null) throw new ImapSyntaxError("Unknown SEARCH key");
    const when = match[2] === "BEFORE" ? "before" : match[2] === "ON" ? "on" : "since";
    return {
      kind: match[1] === undefined ? "received" : "sent",
      when,
      day: parseDay(this.#lexer.astring().toString("latin1")),
    };
  }

  /** RFC 7162 §3.1.5: flags have no MODSEQs of their own here, so the entry's name must not matter. */
  #modseq(): number {
    const lexer = this.#lexer;
    if (lexer.sees('"')) {
      lexer.string();
      lexer.space();
      if (!ENTRY_TYPES.has(lexer.keyword())) throw new ImapSyntaxError("Unknown type of MODSEQ entry");
      lexer.space();
    }
    return parseModseq(lexer);
  }

  #seconds(): number {
    const seconds = this.#lexer.number();
    if (seconds === 0) throw new ImapSyntaxError("Interval must not be 0");
    return seconds;
  }

  /** Octets that are none of the charset cannot match anything and are replaced. */
  #text(): string {
    const text = fold(this.#decode(this.#lexer.astring()));
    if (text.length > this.#textChars) throw new ImapSyntaxError("Search text is too long");
    return text;
  }
}

/** What was saved is kept by UID: `$` means the same messages in either form. */
function messages(set: SequenceSet): SearchKey {
  return set === SAVED ? { kind: "uid", set } : { kind: "sequence", set };
}

function all(keys: readonly SearchKey[]): SearchKey {
  const [only] = keys;
  return keys.length === 1 && only !== undefined ? only : { kind: "and", keys };
}

/** `1-Feb-1994` to days since 1970-01-01. */
function parseDay(text: string): number {
  const match = /^(\d{1,2})-([A-Za-z]{3})-(\d{4})$/u.exec(text);
  const day = Number(match?.[1]);
  const month = MONTHS.indexOf(match?.[2]?.toLowerCase() ?? "");
  const year = Number(match?.[3]);
  if (match === null || month < 0 || day < 1 || day > daysOfMonth(year, month)) {
    throw new ImapSyntaxError("Invalid date");
  }
  return dayNumber(year, month, day);
}

/** @param month  0..11 */
function daysOfMonth(year: number, month: number): number {
  return new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
}

/** @param month  0..11  @returns days since 1970-01-01 */
export function dayNumber(year: number, month: number, day: number): number {
  return Date.UTC(year, month, day) / DAY_MS;
}
