/** What an extended SEARCH is to answer: `RETURN (MIN COUNT SAVE)`. Pure. Source: RFC 4731 §3.1, RFC 5182 §2.1, RFC 4466 §2.6.1. */
import type { Lexer } from "./lexer.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface SearchReturn {
  readonly min: boolean;
  readonly max: boolean;
  readonly all: boolean;
  readonly count: boolean;
  /** Keep what is found for `$`. */
  readonly save: boolean;
}

/** What a SEARCH without RETURN answers where it answers by ESEARCH (RFC 9051 §6.4.4). */
export const RETURN_ALL: SearchReturn = { min: false, max: false, all: true, count: false, save: false };

const OPTIONS: ReadonlyMap<string, keyof SearchReturn> = new Map([
  ["MIN", "min"],
  ["MAX", "max"],
  ["ALL", "all"],
  ["COUNT", "count"],
  ["SAVE", "save"],
]);

/**
 * @param lexer  behind `RETURN`
 * @throws {ImapSyntaxError} also when an option is not known
 */
export function parseReturn(lexer: Lexer): SearchReturn {
  const wanted = new Set<keyof SearchReturn>();
  lexer.space();
  lexer.expect("(");
  while (!lexer.skip(")")) {
    const option = OPTIONS.get(lexer.keyword());
    if (option === undefined) throw new ImapSyntaxError("Unknown RETURN option");
    wanted.add(option);
    if (!lexer.sees(")")) lexer.space();
  }
  // RFC 4731 §3.1: an empty list means ALL.
  if (wanted.size === 0) return RETURN_ALL;
  return {
    min: wanted.has("min"),
    max: wanted.has("max"),
    all: wanted.has("all"),
    count: wanted.has("count"),
    save: wanted.has("save"),
  };
}
