/**
 * Arguments of LIST, LSUB and STATUS. Pure. Source: RFC 3501 §6.3.8–6.3.10, RFC 5258 (extended LIST),
 * RFC 5819 (LIST-STATUS), RFC 6154 (SPECIAL-USE), RFC 8438 (STATUS=SIZE), RFC 8474 (MAILBOXID), RFC 9051 §6.3.11 (DELETED).
 */
import type { Lexer } from "./lexer.ts";
import { nameText } from "./mailbox-name.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

const STATUS_ITEMS = [
  "MESSAGES",
  "RECENT",
  "UIDNEXT",
  "UIDVALIDITY",
  "UNSEEN",
  "HIGHESTMODSEQ",
  "SIZE",
  "DELETED",
  "MAILBOXID",
] as const;
export type StatusItem = (typeof STATUS_ITEMS)[number];

export interface ListRequest {
  /** Unicode; reference and pattern are put together. Empty only for the separator question `LIST "" ""`. */
  readonly patterns: readonly string[];
  /** Options in front: which mailboxes. */
  readonly select: {
    readonly subscribed: boolean;
    readonly specialUse: boolean;
    readonly recursive: boolean;
  };
  /** Options behind: what to tell of each. */
  readonly returns: {
    readonly subscribed: boolean;
    readonly status: readonly StatusItem[] | undefined;
  };
}

/** UTF-16 units of one pattern: no mailbox name is longer, and matching costs pattern × name. */
const PATTERN_CHARS = 1000;

function joinPattern(reference: string, pattern: string): string {
  if (reference.length + pattern.length > PATTERN_CHARS)
    throw new ImapSyntaxError("LIST pattern is too long");
  return reference + pattern;
}

/**
 * @param lexer  behind the name of the command
 * @param limit  most patterns in one command
 */
export function parseList(lexer: Lexer, limit: number): ListRequest {
  lexer.space();
  const select = lexer.sees("(") ? parseSelectOptions(lexer) : NO_SELECTION;
  const reference = nameText(lexer, lexer.astring());
  lexer.space();
  const patterns: string[] = [];
  if (lexer.skip("(")) {
    while (!lexer.skip(")")) {
      patterns.push(joinPattern(reference, nameText(lexer, lexer.listMailbox())));
      if (patterns.length > limit) throw new ImapSyntaxError("Too many LIST patterns");
      if (!lexer.sees(")")) lexer.space();
    }
    if (patterns.length === 0) throw new ImapSyntaxError("LIST needs a pattern");
  } else {
    const pattern = nameText(lexer, lexer.listMailbox());
    if (pattern !== "") patterns.push(joinPattern(reference, pattern));
  }
  if (lexer.atEnd) return { patterns, select, returns: NO_RETURNS };
  lexer.space();
  if (lexer.keyword() !== "RETURN") throw new ImapSyntaxError("Expected RETURN");
  lexer.space();
  return { patterns, select, returns: parseReturnOptions(lexer) };
}

/** @param lexer  behind the name of the command */
export function parseLsub(lexer: Lexer): ListRequest {
  lexer.space();
  const reference = nameText(lexer, lexer.astring());
  lexer.space();
  const pattern = joinPattern(reference, nameText(lexer, lexer.listMailbox()));
  return {
    patterns: pattern === "" ? [] : [pattern],
    select: NO_SELECTION,
    returns: NO_RETURNS,
  };
}

const NO_SELECTION = { subscribed: false, specialUse: false, recursive: false };
const NO_RETURNS = { subscribed: false, status: undefined };

function parseSelectOptions(lexer: Lexer): ListRequest["select"] {
  const names = new Set(optionNames(lexer));
  lexer.space();
  for (const name of names) {
    if (!["SUBSCRIBED", "SPECIAL-USE", "RECURSIVEMATCH", "REMOTE"].includes(name)) {
      throw new ImapSyntaxError("Unknown LIST selection option");
    }
  }
  const recursive = names.has("RECURSIVEMATCH");
  // RFC 5258 §3.1: RECURSIVEMATCH alone, or with REMOTE only, is a syntax error.
  if (recursive && !names.has("SUBSCRIBED") && !names.has("SPECIAL-USE")) {
    throw new ImapSyntaxError("RECURSIVEMATCH needs another selection option");
  }
  return { subscribed: names.has("SUBSCRIBED"), specialUse: names.has("SPECIAL-USE"), recursive };
}

function optionNames(lexer: Lexer): string[] {
  const names: string[] = [];
  lexer.expect("(");
  while (!lexer.skip(")")) {
    names.push(lexer.keyword());
    if (!lexer.sees(")")) lexer.space();
  }
  return names;
}

function parseReturnOptions(lexer: Lexer): ListRequest["returns"] {
  let subscribed = false;
  let status: readonly StatusItem[] | undefined;
  lexer.expect("(");
  while (!lexer.skip(")")) {
    const name = lexer.keyword();
    if (name === "SUBSCRIBED") subscribed = true;
    else if (name === "STATUS") {
      lexer.space();
      status = parseStatusItems(lexer);
    } else if (name !== "CHILDREN" && name !== "SPECIAL-USE") {
      // CHILDREN and SPECIAL-USE are told always.
      throw new ImapSyntaxError("Unknown LIST return option");
    }
    if (!lexer.sees(")")) lexer.space();
  }
  return { subscribed, status };
}

export function parseStatusItems(lexer: Lexer): readonly StatusItem[] {
  const items = optionNames(lexer).map(name => {
    const item = STATUS_ITEMS.find(candidate => candidate === name);
    if (item === undefined) throw new ImapSyntaxError("Unknown STATUS item");
    return item;
  });
  if (items.length === 0) throw new ImapSyntaxError("STATUS needs an item");
  return [...new Set(items)];
}
