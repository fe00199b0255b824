/**
 * The commands of IMAP as data, and the parser from a framed command to them. Pure; second step of every command.
 * Big grammars (FETCH, SEARCH, LIST) have files of their own. Source: RFC 3501 §6 and §9; RFC 2177, 2971, 3691, 4315.
 */
import { Lexer } from "./lexer.ts";
import type { ImapLimits } from "./limits.ts";
import { type FetchItem, parseFetchItems } from "./parse-fetch.ts";
import { type ListRequest, parseList, parseLsub, parseStatusItems, type StatusItem } from "./parse-list.ts";
import { parseSearch, type SearchLimits, type SearchRequest } from "./parse-search.ts";
import type { SequenceSet } from "./sequence-set.ts";
import { ImapSyntaxError } from "./syntax-error.ts";
import { decodeUtf7 } from "./utf7.ts";

/** Commands without arguments. */
const PLAIN = ["CAPABILITY", "NOOP", "LOGOUT", "NAMESPACE", "CLOSE", "UNSELECT", "CHECK", "IDLE"] as const;
/** Commands that would change something; their arguments do not matter, the answer is the same. */
const WRITES = ["STORE", "COPY", "MOVE", "APPEND", "CREATE", "DELETE", "RENAME", "EXPUNGE"] as const;

const WITH_ARGUMENTS: ReadonlySet<string> = new Set([
  "AUTHENTICATE",
  "EXAMINE",
  "FETCH",
  "ID",
  "LIST",
  "LOGIN",
  "LSUB",
  "SEARCH",
  "SELECT",
  "STATUS",
  "SUBSCRIBE",
  "UID",
  "UNSUBSCRIBE",
]);

export type PlainName = (typeof PLAIN)[number];
export type WriteName = (typeof WRITES)[number] | "UID EXPUNGE";

/** One member per kind, so that a command can be picked out of the union by its kind. */
type Each<K extends string, T> = K extends string ? { readonly kind: K } & T : never;

export type ImapCommand =
  | Each<PlainName, unknown>
  | { readonly kind: "write"; readonly name: WriteName }
  | { readonly kind: "ID"; readonly fields: ReadonlyMap<string, string> }
  | { readonly kind: "LOGIN"; readonly user: string; readonly password: string }
  | { readonly kind: "AUTHENTICATE"; readonly mechanism: string; readonly initial: string | undefined }
  | Each<"SELECT" | "EXAMINE" | "SUBSCRIBE" | "UNSUBSCRIBE", { readonly mailbox: string }>
  | Each<"LIST" | "LSUB", { readonly request: ListRequest }>
  | { readonly kind: "STATUS"; readonly mailbox: string; readonly items: readonly StatusItem[] }
  | {
      readonly kind: "FETCH";
      readonly uid: boolean;
      readonly set: SequenceSet;
      readonly items: readonly FetchItem[];
    }
  | { readonly kind: "SEARCH"; readonly uid: boolean; readonly request: SearchRequest };

export interface TaggedCommand {
  readonly tag: string;
  readonly command: ImapCommand;
}

type ParseLimits = Pick<ImapLimits, "fetchItems" | "listPatterns"> & SearchLimits;

/** Names in a client's ID list and octets of each that are kept. RFC 2971 §3.3. */
const ID_FIELDS = 30;
const ID_VALUE_BYTES = 1024;

/**
 * The tag alone, for answers to commands that cannot be parsed.
 * @returns "*" when there is none
 */
export function tagOf(bytes: Buffer): string {
  try {
    return new Lexer(bytes).tag();
  } catch (error) {
    if (error instanceof ImapSyntaxError) return "*";
    throw error;
  }
}

/**
 * @param bytes  one command as the framer gives it
 * @throws {ImapSyntaxError} unknown command, wrong arguments, or more than a limit allows
 */
export function parseCommand(bytes: Buffer, limits: ParseLimits): TaggedCommand {
  const lexer = new Lexer(bytes);
  const tag = lexer.tag();
  lexer.space();
  const name = lexer.keyword();
  const command = parseNamed(lexer, name, limits);
  lexer.end();
  return { tag, command };
}

function parseNamed(lexer: Lexer, name: string, limits: ParseLimits): ImapCommand {
  const plain = PLAIN.find(candidate => candidate === name);
  if (plain !== undefined) return { kind: plain };
  const write = WRITES.find(candidate => candidate === name);
  if (write !== undefined) {
    lexer.rest();
    return { kind: "write", name: write };
  }
  if (!WITH_ARGUMENTS.has(name)) throw new ImapSyntaxError("Unknown command");
  lexer.space();
  return name === "UID" ? parseUid(lexer, limits) : parseWithArguments(lexer, name, limits);
}

function parseWithArguments(lexer: Lexer, name: string, limits: ParseLimits): ImapCommand {
  switch (name) {
    case "ID":
      return { kind: "ID", fields: parseId(lexer) };
    case "LOGIN":
      return parseLogin(lexer);
    case "AUTHENTICATE":
      return parseAuthenticate(lexer);
    case "SELECT":
    case "EXAMINE":
    case "SUBSCRIBE":
    case "UNSUBSCRIBE":
      return { kind: name, mailbox: mailboxName(lexer.astring()) };
    case "LIST":
      return { kind: "LIST", request: parseList(lexer, limits.listPatterns) };
    case "LSUB":
      return { kind: "LSUB", request: parseLsub(lexer) };
    case "STATUS": {
      const mailbox = mailboxName(lexer.astring());
      lexer.space();
      return { kind: "STATUS", mailbox, items: parseStatusItems(lexer) };
    }
    case "FETCH":
      return parseFetch(lexer, false, limits);
    case "SEARCH":
      return { kind: "SEARCH", uid: false, request: parseSearch(lexer, limits) };
    default:
      throw new ImapSyntaxError("Unknown command");
  }
}

function parseUid(lexer: Lexer, limits: ParseLimits): ImapCommand {
  const name = lexer.keyword();
  if (name === "STORE" || name === "COPY" || name === "MOVE" || name === "EXPUNGE") {
    lexer.rest();
    return { kind: "write", name: name === "EXPUNGE" ? "UID EXPUNGE" : name };
  }
  lexer.space();
  if (name === "FETCH") return parseFetch(lexer, true, limits);
  if (name === "SEARCH") return { kind: "SEARCH", uid: true, request: parseSearch(lexer, limits) };
  throw new ImapSyntaxError("Unknown UID command");
}

function parseFetch(lexer: Lexer, uid: boolean, limits: ParseLimits): ImapCommand {
  const set = lexer.sequenceSet();
  lexer.space();
  return { kind: "FETCH", uid, set, items: parseFetchItems(lexer, limits.fetchItems) };
}

function parseLogin(lexer: Lexer): ImapCommand {
  const user = lexer.astring().toString("utf8");
  lexer.space();
  return { kind: "LOGIN", user, password: lexer.astring().toString("utf8") };
}

function parseAuthenticate(lexer: Lexer): ImapCommand {
  const mechanism = lexer.keyword();
  if (lexer.atEnd) return { kind: "AUTHENTICATE", mechanism, initial: undefined };
  lexer.space();
  return { kind: "AUTHENTICATE", mechanism, initial: lexer.rest().toString("latin1") };
}

/** RFC 2971 §3.1: NIL or pairs of strings, where a value may be NIL. */
function parseId(lexer: Lexer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>();
  if (!lexer.skip("(")) {
    lexer.nstring();
    return fields;
  }
  while (!lexer.skip(")")) {
    const name = lexer.string().toString("utf8", 0, ID_VALUE_BYTES);
    lexer.space();
    const value = lexer.nstring()?.toString("utf8", 0, ID_VALUE_BYTES) ?? "";
    if (fields.size >= ID_FIELDS) throw new ImapSyntaxError("Too many ID fields");
    fields.set(name.toLowerCase(), value);
    if (!lexer.sees(")")) lexer.space();
  }
  return fields;
}

/** Wire octets to the name the store uses: Unicode, INBOX in upper case also as a parent (RFC 3501 §5.1). */
export function mailboxName(wire: Buffer): string {
  const name = decodeUtf7(wire);
  return /^inbox(?=\/|$)/iu.test(name) ? `INBOX${name.slice(5)}` : name;
}
