/**
 * What a FETCH asks for, as data, and its parser. Pure. Source: RFC 3501 §6.4.5 and §9 (fetch-att, section); RFC 8474 §5,
 * RFC 8970 §6.
 */
import type { Steps } from "../../core/steps.ts";
import { isAtom, type Lexer } from "./lexer.ts";
import { type NumberSet, parseNumberSet } from "./number-set.ts";
import { type BinaryItem, parseBinary } from "./parse-binary.ts";
import { parseModseq } from "./parse-modseq.ts";
import { type Partial, parsePartial } from "./parse-partial.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface FetchCommand {
  readonly kind: "FETCH";
  readonly uid: boolean;
  readonly set: NumberSet;
  readonly items: readonly FetchItem[];
  readonly since: FetchSince | undefined;
}

/** Only what changed since a MODSEQ. RFC 7162 §3.1.4.1, §3.2.6. */
export interface FetchSince {
  readonly modseq: number;
  /** Tell what was expunged since, too. */
  readonly vanished: boolean;
}

export type FetchItem =
  | {
      readonly kind:
        | "UID"
        | "FLAGS"
        | "MODSEQ"
        | "INTERNALDATE"
        | "RFC822.SIZE"
        | "ENVELOPE"
        | "BODY"
        | "BODYSTRUCTURE";
    }
  | { readonly kind: "EMAILID" | "THREADID" }
  /** `lazy`: only when it is at hand (RFC 8970 §3.1). */
  | { readonly kind: "PREVIEW"; readonly lazy: boolean }
  | BinaryItem
  | SectionItem;

/** Octets of the message or of a part. */
export interface SectionItem {
  readonly kind: "section";
  /** How the answer names it, e.g. `BODY[1.HEADER.FIELDS (TO)]<0>`. */
  readonly label: string;
  /** Part numbers; empty for the whole message. */
  readonly path: readonly number[];
  readonly part: "all" | "header" | "text" | "mime";
  /** Set for HEADER.FIELDS and HEADER.FIELDS.NOT. */
  readonly fields: { readonly names: readonly string[]; readonly not: boolean } | undefined;
  readonly partial: Partial | undefined;
}

const FAST: readonly FetchItem[] = [{ kind: "FLAGS" }, { kind: "INTERNALDATE" }, { kind: "RFC822.SIZE" }];
const ALL: readonly FetchItem[] = [...FAST, { kind: "ENVELOPE" }];
const MACROS: ReadonlyMap<string, readonly FetchItem[]> = new Map([
  ["ALL", ALL],
  ["FAST", FAST],
  ["FULL", [...ALL, { kind: "BODY" }]],
]);
const RFC822: ReadonlyMap<string, SectionItem["part"]> = new Map([
  ["RFC822", "all"],
  ["RFC822.HEADER", "header"],
  ["RFC822.TEXT", "text"],
]);

/** Names in one HEADER.FIELDS: they are looked at for each message, and told with each. */
const FIELD_NAMES = 250;

/**
 * @param lexer  behind the name of the command
 * @param limit  most items in one command
 */
export function* parseFetch(lexer: Lexer, uid: boolean, limit: number): Steps<FetchCommand> {
  lexer.space();
  const set = yield* parseNumberSet(lexer);
  lexer.space();
  const items = parseFetchItems(lexer, limit);
  return { kind: "FETCH", uid, set, items, since: parseFetchSince(lexer, uid) };
}

function parseFetchItems(lexer: Lexer, limit: number): readonly FetchItem[] {
  if (!lexer.skip("(")) {
    const name = lexer.fetchName();
    return MACROS.get(name) ?? [parseItem(lexer, name)];
  }
  const items: FetchItem[] = [];
  while (!lexer.skip(")")) {
    items.push(parseItem(lexer, lexer.fetchName()));
    if (items.length > limit) throw new ImapSyntaxError("Too many FETCH items");
    if (!lexer.sees(")")) lexer.space();
  }
  if (items.length === 0) throw new ImapSyntaxError("FETCH needs an item");
  return items;
}

function parseFetchSince(lexer: Lexer, uid: boolean): FetchSince | undefined {
  if (lexer.atEnd) return undefined;
  lexer.space();
  if (lexer.atEnd) return undefined;
  lexer.expect("(");
  let modseq: number | undefined;
  let vanished = false;
  do {
    const name = lexer.keyword();
    if (name === "CHANGEDSINCE" && modseq === undefined) {
      lexer.space();
      modseq = parseModseq(lexer);
    } else if (name === "VANISHED" && uid && !vanished) vanished = true;
    else throw new ImapSyntaxError("Unknown or repeated FETCH modifier, or one that needs UID FETCH");
  } while (isNextModifier(lexer));
  if (modseq === undefined) throw new ImapSyntaxError("VANISHED needs CHANGEDSINCE");
  return { modseq, vanished };
}

/** @returns false at the closing parenthesis, which is taken */
function isNextModifier(lexer: Lexer): boolean {
  if (lexer.skip(")")) return false;
  lexer.space();
  return true;
}

function parseItem(lexer: Lexer, name: string): FetchItem {
  switch (name) {
    case "UID":
    case "FLAGS":
    case "MODSEQ":
    case "INTERNALDATE":
    case "RFC822.SIZE":
    case "ENVELOPE":
    case "BODYSTRUCTURE":
    case "EMAILID":
    case "THREADID":
      return { kind: name };
    case "BODY":
      return lexer.sees("[") ? parseSection(lexer) : { kind: "BODY" };
    case "BODY.PEEK":
      return parseSection(lexer);
    case "BINARY":
    case "BINARY.PEEK":
    case "BINARY.SIZE":
      return parseBinary(lexer, name === "BINARY.SIZE");
    case "PREVIEW":
      // What else stands in parentheses here belongs to the command (RFC 4466 §2.4).
      return { kind: "PREVIEW", lazy: lexer.skipText(" (LAZY)") };
    default: {
      const part = RFC822.get(name);
      if (part === undefined) throw new ImapSyntaxError("Unknown FETCH item");
      return { kind: "section", label: name, path: [], part, fields: undefined, partial: undefined };
    }
  }
}

function parseSection(lexer: Lexer): SectionItem {
  lexer.expect("[");
  const words = lexer.sees("]") ? [] : lexer.fetchName().split(".");
  const split = words.findIndex(word => !/^[1-9]\d{0,9}$/u.test(word));
  const path = (split < 0 ? words : words.slice(0, split)).map(Number);
  const name = split < 0 ? "" : words.slice(split).join(".");
  if (words.at(-1) === "") throw new ImapSyntaxError("Unknown section");
  const part = sectionPart(name, path.length > 0);
  const fields = name.startsWith("HEADER.FIELDS") ? parseFields(lexer, name.endsWith(".NOT")) : undefined;
  lexer.expect("]");
  const partial = lexer.skip("<") ? parsePartial(lexer) : undefined;
  const names = fields === undefined ? "" : ` (${fields.names.map(fieldName).join(" ")})`;
  const origin = partial === undefined ? "" : `<${partial.offset}>`;
  return {
    kind: "section",
    label: `BODY[${words.join(".")}${names}]${origin}`,
    path,
    part,
    fields,
    partial,
  };
}

function sectionPart(name: string, nested: boolean): SectionItem["part"] {
  switch (name) {
    case "":
      return "all";
    case "HEADER":
    case "HEADER.FIELDS":
    case "HEADER.FIELDS.NOT":
      return "header";
    case "TEXT":
      return "text";
    case "MIME":
      if (nested) return "mime";
      break;
  }
  throw new ImapSyntaxError("Unknown section");
}

function parseFields(lexer: Lexer, not: boolean): { names: readonly string[]; not: boolean } {
  lexer.space();
  lexer.expect("(");
  const names: string[] = [];
  while (!lexer.skip(")")) {
    names.push(lexer.astring().toString("latin1"));
    if (names.length > FIELD_NAMES) throw new ImapSyntaxError("Too many header field names");
    if (!lexer.sees(")")) lexer.space();
  }
  if (names.length === 0) throw new ImapSyntaxError("HEADER.FIELDS needs a field name");
  return { names, not };
}

function fieldName(name: string): string {
  return isAtom(name) ? name : `"${name.replace(/["\\]/gu, "\\$&").replace(/[^\x20-\x7e]/gu, "?")}"`;
}
