/** Arguments of SELECT and EXAMINE. Pure. Source: RFC 3501 §6.3.1. */
import type { Lexer } from "./lexer.ts";
import { parseMailbox } from "./mailbox-name.ts";

export interface SelectCommand {
  readonly kind: "SELECT" | "EXAMINE";
  /** Unicode. */
  readonly mailbox: string;
}

/** @param lexer  behind the name of the command */
export function parseSelect(lexer: Lexer, kind: SelectCommand["kind"]): SelectCommand {
  lexer.space();
  return { kind, mailbox: parseMailbox(lexer) };
}
