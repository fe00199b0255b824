/** MODSEQs in arguments. Pure. Source: RFC 7162 §7 (mod-sequence-value, mod-sequence-valzer). */
import type { Lexer } from "./lexer.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

/** Largest of the protocol: 63 bits. */
const MAX_MODSEQ = 9_223_372_036_854_775_807n;

/**
 * 0 is taken everywhere: it means "since ever", and clients that know nothing yet send it.
 * @returns at most 2^53 - 1: no MODSEQ of ours is above, so what is larger means the same
 */
export function parseModseq(lexer: Lexer): number {
  const text = lexer.fetchName();
  if (!/^\d{1,19}$/u.test(text) || BigInt(text) > MAX_MODSEQ) throw new ImapSyntaxError("Expected a MODSEQ");
  return Math.min(Number(text), Number.MAX_SAFE_INTEGER);
}
