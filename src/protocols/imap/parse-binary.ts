/** BINARY, BINARY.PEEK and BINARY.SIZE in a FETCH. Pure. Source: RFC 3516 §4.2, §4.3, §7; RFC 9051 §6.4.5. */
import type { Lexer } from "./lexer.ts";
import { type Partial, parsePartial } from "./parse-partial.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

/** Octets of a part with the transfer encoding undone, or how many there are. */
export interface BinaryItem {
  readonly kind: "binary";
  /** How the answer names it, e.g. `BINARY[1.2]<0>`. */
  readonly label: string;
  /** Part numbers; empty for the whole message. */
  readonly path: readonly number[];
  readonly sizeOnly: boolean;
  readonly partial: Partial | undefined;
}

const PATH = /^[1-9]\d{0,9}(?:\.[1-9]\d{0,9})*$/u;

/** @param lexer  behind the item's name */
export function parseBinary(lexer: Lexer, sizeOnly: boolean): BinaryItem {
  lexer.expect("[");
  const section = lexer.sees("]") ? "" : lexer.fetchName();
  lexer.expect("]");
  if (section !== "" && !PATH.test(section)) throw new ImapSyntaxError("BINARY needs a part number");
  const partial = !sizeOnly && lexer.skip("<") ? parsePartial(lexer) : undefined;
  const origin = partial === undefined ? "" : `<${partial.offset}>`;
  return {
    kind: "binary",
    label: `BINARY${sizeOnly ? ".SIZE" : ""}[${section}]${origin}`,
    path: section === "" ? [] : section.split(".").map(Number),
    sizeOnly,
    partial,
  };
}
