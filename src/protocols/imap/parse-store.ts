/** STORE and UID STORE. Pure. Source: RFC 3501 §6.4.6, §9; RFC 4466 §2.5 (modifiers); RFC 7162 §3.1.3, §7 (UNCHANGEDSINCE). */
import type { FlagOp } from "../../core/flag-change.ts";
import type { Steps } from "../../core/steps.ts";
import type { Lexer } from "./lexer.ts";
import { type NumberSet, parseNumberSet } from "./number-set.ts";
import { parseModseq } from "./parse-modseq.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface StoreCommand {
  readonly kind: "STORE";
  /** The set holds UIDs, not sequence numbers. */
  readonly uid: boolean;
  readonly set: NumberSet;
  readonly unchangedSince: number | undefined;
  readonly op: FlagOp;
  readonly silent: boolean;
  /** As written, system flags with their backslash. */
  readonly flags: readonly string[];
}

const ACTION = /^([+-]?)FLAGS(\.SILENT)?$/u;
const OPS: ReadonlyMap<string, FlagOp> = new Map([
  ["", "replace"],
  ["+", "add"],
  ["-", "remove"],
]);

/**
 * @param lexer  behind the name of the command
 * @throws {ImapSyntaxError}
 */
export function* parseStore(lexer: Lexer, uid: boolean): Steps<StoreCommand> {
  lexer.space();
  const set = yield* parseNumberSet(lexer);
  lexer.space();
  const unchangedSince = lexer.sees("(") ? parseModifiers(lexer) : undefined;
  const action = ACTION.exec(lexer.keyword());
  const op = OPS.get(action?.[1] ?? "none");
  if (op === undefined) throw new ImapSyntaxError("Expected FLAGS");
  lexer.space();
  const silent = action?.[2] !== undefined;
  return { kind: "STORE", uid, set, unchangedSince, op, silent, flags: parseFlags(lexer) };
}

function parseModifiers(lexer: Lexer): number {
  lexer.expect("(");
  if (lexer.keyword() !== "UNCHANGEDSINCE") throw new ImapSyntaxError("Unknown modifier");
  lexer.space();
  const modseq = parseModseq(lexer);
  lexer.expect(")");
  lexer.space();
  return modseq;
}

/** `(a b)` or `a b`. */
function parseFlags(lexer: Lexer): readonly string[] {
  const flags: string[] = [];
  const isList = lexer.skip("(");
  if (isList && lexer.skip(")")) return flags;
  for (;;) {
    flags.push(lexer.flag());
    if (isList && lexer.skip(")")) return flags;
    if (!isList && lexer.atEnd) return flags;
    lexer.space();
    if (!isList && lexer.atEnd) return flags;
  }
}
