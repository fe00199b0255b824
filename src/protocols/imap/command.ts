/**
 * The commands of IMAP as data, and the parser from a framed command to them. Pure; second step of every command.
 * Big grammars have files of their own (`parse-*.ts`). Source: RFC 3501 §6 and §9; RFC 2177, 2971, 3691, 4315, 5161, 5256.
 */
import { atOnce, type Steps } from "../../core/steps.ts";
import { type EnableCommand, parseEnable } from "./enable.ts";
import { Lexer } from "./lexer.ts";
import type { ImapLimits } from "./limits.ts";
import { parseMailbox } from "./mailbox-name.ts";
import { type FetchCommand, parseFetch } from "./parse-fetch.ts";
import { type ListRequest, parseList, parseLsub, parseStatusItems, type StatusItem } from "./parse-list.ts";
import { parseSearch, type SearchCommand, type SearchLimits } from "./parse-search.ts";
import { parseSelect, type SelectCommand } from "./parse-select.ts";
import { parseSort, parseThread, type SortCommand, type ThreadCommand } from "./parse-sort.ts";
import { parseStore, type StoreCommand } from "./parse-store.ts";
import { ImapSyntaxError } from "./syntax-error.ts";
import type { NameEncoding } from "./utf7.ts";

/** Commands without arguments. */
export type PlainName =
  | "CAPABILITY"
  | "CHECK"
  | "CLOSE"
  | "IDLE"
  | "LOGOUT"
  | "NAMESPACE"
  | "NOOP"
  | "STARTTLS"
  | "UNSELECT";
/** Commands that would change something; their arguments do not matter, the answer is the same. */
export type WriteName =
  | "APPEND"
  | "COPY"
  | "CREATE"
  | "DELETE"
  | "EXPUNGE"
  | "MOVE"
  | "RENAME"
  | "UID EXPUNGE";

/** One member per kind, so that a command can be picked out of the union by its kind. */
type Each<K extends string, T> = K extends string ? { readonly kind: K } & T : never;

export type ImapCommand =
  | Each<PlainName, unknown>
  | { readonly kind: "write"; readonly name: WriteName }
  | { readonly kind: "ID"; readonly fields: ReadonlyMap<string, string> }
  | { readonly kind: "LOGIN"; readonly user: string; readonly password: string }
  | { readonly kind: "AUTHENTICATE"; readonly mechanism: string; readonly initial: string | undefined }
  | Each<"SUBSCRIBE" | "UNSUBSCRIBE", { readonly mailbox: string }>
  | Each<"LIST" | "LSUB", { readonly request: ListRequest }>
  | { readonly kind: "STATUS"; readonly mailbox: string; readonly items: readonly StatusItem[] }
  | EnableCommand
  | FetchCommand
  | SearchCommand
  | SelectCommand
  | SortCommand
  | StoreCommand
  | ThreadCommand;

export interface TaggedCommand {
  readonly tag: string;
  readonly command: ImapCommand;
}

type ParseLimits = Pick<ImapLimits, "fetchItems" | "listPatterns"> & SearchLimits;

/** Takes the lexer behind the command's name. What may hold half a million numbers is read in steps. */
type Grammar = (lexer: Lexer, limits: ParseLimits, tag: string) => ImapCommand | Steps<ImapCommand>;

const plain =
  (kind: PlainName): Grammar =>
  () => ({ kind });

const write =
  (name: WriteName): Grammar =>
  lexer => {
    lexer.rest();
    return { kind: "write", name };
  };

/** What is not here is unknown. */
const GRAMMARS: ReadonlyMap<string, Grammar> = new Map<string, Grammar>([
  ["APPEND", write("APPEND")],
  ["AUTHENTICATE", parseAuthenticate],
  ["CAPABILITY", plain("CAPABILITY")],
  ["CHECK", plain("CHECK")],
  ["CLOSE", plain("CLOSE")],
  ["COPY", write("COPY")],
  ["CREATE", write("CREATE")],
  ["DELETE", write("DELETE")],
  ["ENABLE", parseEnable],
  ["EXAMINE", lexer => parseSelect(lexer, "EXAMINE")],
  ["EXPUNGE", write("EXPUNGE")],
  ["FETCH", (lexer, limits) => parseFetch(lexer, false, limits.fetchItems)],
  ["ID", parseId],
  ["IDLE", plain("IDLE")],
  ["LIST", (lexer, limits) => ({ kind: "LIST", request: parseList(lexer, limits.listPatterns) })],
  ["LOGIN", parseLogin],
  ["LOGOUT", plain("LOGOUT")],
  ["LSUB", lexer => ({ kind: "LSUB", request: parseLsub(lexer) })],
  ["MOVE", write("MOVE")],
  ["NAMESPACE", plain("NAMESPACE")],
  ["NOOP", plain("NOOP")],
  ["RENAME", write("RENAME")],
  ["SEARCH", (lexer, limits, tag) => parseSearch(lexer, false, limits, tag)],
  ["SELECT", lexer => parseSelect(lexer, "SELECT")],
  ["STARTTLS", plain("STARTTLS")],
  ["SORT", (lexer, limits) => parseSort(lexer, false, limits)],
  ["STATUS", parseStatus],
  ["STORE", lexer => parseStore(lexer, false)],
  ["SUBSCRIBE", lexer => parseSubscribe(lexer, "SUBSCRIBE")],
  ["THREAD", (lexer, limits) => parseThread(lexer, false, limits)],
  ["UID", parseUid],
  ["UNSELECT", plain("UNSELECT")],
  ["UNSUBSCRIBE", lexer => parseSubscribe(lexer, "UNSUBSCRIBE")],
]);

/** Behind `UID`. */
const UID_GRAMMARS: ReadonlyMap<string, Grammar> = new Map<string, Grammar>([
  ["COPY", write("COPY")],
  ["EXPUNGE", write("UID EXPUNGE")],
  ["FETCH", (lexer, limits) => parseFetch(lexer, true, limits.fetchItems)],
  ["MOVE", write("MOVE")],
  ["SEARCH", (lexer, limits, tag) => parseSearch(lexer, true, limits, tag)],
  ["SORT", (lexer, limits) => parseSort(lexer, true, limits)],
  ["STORE", lexer => parseStore(lexer, true)],
  ["THREAD", (lexer, limits) => parseThread(lexer, true, limits)],
]);

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
export function parseCommand(
  bytes: Buffer,
  limits: ParseLimits,
  names: NameEncoding = "utf7",
): TaggedCommand {
  return atOnce(parseCommandInSteps(bytes, limits, names));
}

/** As {@link parseCommand}. */
export function* parseCommandInSteps(
  bytes: Buffer,
  limits: ParseLimits,
  names: NameEncoding,
): Steps<TaggedCommand> {
  const lexer = new Lexer(bytes, names);
  const tag = lexer.tag();
  lexer.space();
  const grammar = GRAMMARS.get(lexer.keyword());
  if (grammar === undefined) throw new ImapSyntaxError("Unknown command");
  const read = grammar(lexer, limits, tag);
  const command = "next" in read ? yield* read : read;
  lexer.end();
  return { tag, command };
}

function parseUid(lexer: Lexer, limits: ParseLimits, tag: string): ReturnType<Grammar> {
  lexer.space();
  const grammar = UID_GRAMMARS.get(lexer.keyword());
  if (grammar === undefined) throw new ImapSyntaxError("Unknown UID command");
  return grammar(lexer, limits, tag);
}

function parseSubscribe(lexer: Lexer, kind: "SUBSCRIBE" | "UNSUBSCRIBE"): ImapCommand {
  lexer.space();
  return { kind, mailbox: parseMailbox(lexer) };
}

function parseStatus(lexer: Lexer): ImapCommand {
  lexer.space();
  const mailbox = parseMailbox(lexer);
  lexer.space();
  return { kind: "STATUS", mailbox, items: parseStatusItems(lexer) };
}

function parseLogin(lexer: Lexer): ImapCommand {
  lexer.space();
  const user = lexer.astring().toString("utf8");
  lexer.space();
  return { kind: "LOGIN", user, password: lexer.astring().toString("utf8") };
}

function parseAuthenticate(lexer: Lexer): ImapCommand {
  lexer.space();
  const mechanism = lexer.keyword();
  if (lexer.atEnd) return { kind: "AUTHENTICATE", mechanism, initial: undefined };
  lexer.space();
  return { kind: "AUTHENTICATE", mechanism, initial: lexer.rest().toString("latin1") };
}

/** RFC 2971 §3.1: NIL or pairs of strings, where a value may be NIL. */
function parseId(lexer: Lexer): ImapCommand {
  lexer.space();
  const fields = new Map<string, string>();
  if (!lexer.skip("(")) {
    lexer.nstring();
    return { kind: "ID", fields };
  }
  while (!lexer.skip(")")) {
    const name = lexer.string().toString("utf8", 0, ID_VALUE_BYTES);
    lexer.space();
    const value = lexer.nstring()?.toString("utf8", 0, ID_VALUE_BYTES) ?? "";
    if (fields.size >= ID_FIELDS) throw new ImapSyntaxError("Too many ID fields");
    fields.set(name.toLowerCase(), value);
    if (!lexer.sees(")")) lexer.space();
  }
  return { kind: "ID", fields };
}
