/** SORT and THREAD as data, and their parsers. Pure. Source: RFC 5256 §3 and §5. */
import type { SortCriterion } from "../../core/ports/message-order.ts";
import type { Steps } from "../../core/steps.ts";
import type { Lexer } from "./lexer.ts";
import { parseSearchIn, type SearchLimits, type SearchRequest } from "./parse-search.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface SortCommand {
  readonly kind: "SORT";
  readonly uid: boolean;
  /** At least one; each key once. */
  readonly by: readonly SortCriterion[];
  readonly request: SearchRequest;
}

export interface ThreadCommand {
  readonly kind: "THREAD";
  readonly uid: boolean;
  readonly request: SearchRequest;
}

const KEYS: ReadonlyMap<string, SortCriterion["key"]> = new Map(
  (["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO"] as const).map(key => [key, key]),
);

/**
 * @param lexer  behind the name of the command
 * @throws {ImapSyntaxError}
 */
export function* parseSort(lexer: Lexer, uid: boolean, limits: SearchLimits): Steps<SortCommand> {
  lexer.space();
  const by = parseCriteria(lexer);
  return { kind: "SORT", uid, by, request: yield* parseRequest(lexer, limits) };
}

/** As {@link parseSort}. */
export function* parseThread(lexer: Lexer, uid: boolean, limits: SearchLimits): Steps<ThreadCommand> {
  lexer.space();
  if (lexer.keyword() !== "REFERENCES") throw new ImapSyntaxError("Unknown threading algorithm");
  return { kind: "THREAD", uid, request: yield* parseRequest(lexer, limits) };
}

function parseRequest(lexer: Lexer, limits: SearchLimits): Steps<SearchRequest> {
  lexer.space();
  const charset = lexer.astring().toString("latin1").toUpperCase();
  return parseSearchIn(lexer, charset, limits);
}

function parseCriteria(lexer: Lexer): readonly SortCriterion[] {
  const criteria = new Map<SortCriterion["key"], SortCriterion>();
  lexer.expect("(");
  do {
    const criterion = parseCriterion(lexer);
    // What was sorted by a key before is not sorted any further by it.
    if (!criteria.has(criterion.key)) criteria.set(criterion.key, criterion);
  } while (!endsList(lexer));
  return [...criteria.values()];
}

function parseCriterion(lexer: Lexer): SortCriterion {
  let word = lexer.keyword();
  const reverse = word === "REVERSE";
  if (reverse) {
    lexer.space();
    word = lexer.keyword();
  }
  const key = KEYS.get(word);
  if (key === undefined) throw new ImapSyntaxError("Unknown SORT key");
  return { key, reverse };
}

function endsList(lexer: Lexer): boolean {
  if (lexer.skip(")")) return true;
  lexer.space();
  return false;
}
