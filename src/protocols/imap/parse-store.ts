/** STORE and UID STORE. Pure. Source: RFC 3501 §6.4.6. */
import type { Lexer } from "./lexer.ts";

export interface StoreCommand {
  readonly kind: "STORE";
  readonly uid: boolean;
}

/**
 * The arguments do not matter: the answer is the same.
 * @param lexer  behind the name of the command
 */
export function parseStore(lexer: Lexer, uid: boolean): StoreCommand {
  lexer.rest();
  return { kind: "STORE", uid };
}
