/** `<offset.length>` behind a section: which of its octets are wanted. Pure. Source: RFC 3501 §9, RFC 9051 §9 (partial). */
import type { Lexer } from "./lexer.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

export interface Partial {
  readonly offset: number;
  readonly length: number;
}

/** RFC 9051 counts octets in 63 bits; no message is longer than 15 digits can say, and these are exact. */
const OCTETS = /^\d{1,15}$/u;

/** @param lexer  behind the `<` */
export function parsePartial(lexer: Lexer): Partial {
  const [offset, length, ...more] = lexer.fetchName().split(".");
  lexer.expect(">");
  if (more.length > 0 || !isOctets(offset) || !isOctets(length) || Number(length) === 0) {
    throw new ImapSyntaxError("Invalid partial range");
  }
  return { offset: Number(offset), length: Number(length) };
}

function isOctets(text: string | undefined): text is string {
  return text !== undefined && OCTETS.test(text);
}
