/**
 * Reads the tokens of one framed command: atoms, quoted strings, literals, numbers, sequence sets. Pure.
 * Every method throws {@link ImapSyntaxError} and nothing else. Source: RFC 3501 §9; RFC 7888 for `{n+}`.
 */
import type { Steps } from "../../core/steps.ts";
import { parseSequenceSet, SAVED, type SequenceSet } from "./sequence-set.ts";
import { ImapSyntaxError } from "./syntax-error.ts";
import type { NameEncoding } from "./utf7.ts";

const ATOM = 1;
const ASTRING = 2;
const LIST = 4;
const TAG = 8;
const FETCH_NAME = 16;
const SET = 32;

/** Which octets may stand in which kind of bare word. */
const CLASSES: Uint8Array = buildClasses();

function buildClasses(): Uint8Array {
  const classes = new Uint8Array(256);
  for (let octet = 0x21; octet < 0x7f; octet += 1) {
    const char = String.fromCharCode(octet);
    let bits = 0;
    if (!'(){%*"\\]'.includes(char)) bits |= ATOM;
    if (!'(){%*"\\'.includes(char)) bits |= ASTRING;
    if (!'(){"\\'.includes(char)) bits |= LIST;
    if (!'(){%*"\\+'.includes(char)) bits |= TAG;
    if (/[A-Za-z0-9.]/u.test(char)) bits |= FETCH_NAME;
    if (/[0-9:*,]/u.test(char)) bits |= SET;
    classes[octet] = bits;
  }
  return classes;
}

const SP = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const BRACE = 0x7b;
const LF = 10;

export class Lexer {
  /** How names of mailboxes are written. */
  readonly names: NameEncoding;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer, names: NameEncoding = "utf7") {
    this.#bytes = bytes;
    this.names = names;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** The next octet without taking it; -1 at the end. */
  peek(): number {
    return this.#bytes[this.#at] ?? -1;
  }

  /** True when the next character is `char` (one ASCII character). */
  sees(char: string): boolean {
    return this.peek() === char.charCodeAt(0);
  }

  /** Take `char` when it is next. */
  skip(char: string): boolean {
    if (!this.sees(char)) return false;
    this.#at += 1;
    return true;
  }

  /** Take `text` (ASCII, upper case) when all of it is next, in any case. */
  skipText(text: string): boolean {
    const next = this.#bytes.toString("latin1", this.#at, this.#at + text.length);
    if (next.toUpperCase() !== text) return false;
    this.#at += text.length;
    return true;
  }

  expect(char: string): void {
    if (!this.skip(char)) throw new ImapSyntaxError(`Expected "${char}"`);
  }

  /** One space. Further ones are passed over: several clients send two. */
  space(): void {
    this.expect(" ");
    while (this.peek() === SP) this.#at += 1;
  }

  end(): void {
    while (this.peek() === SP) this.#at += 1;
    if (!this.atEnd) throw new ImapSyntaxError("Unexpected text at the end of the command");
  }

  tag(): string {
    return this.#word(TAG, "tag");
  }

  /** @returns upper case */
  keyword(): string {
    return this.#word(ATOM, "word").toUpperCase();
  }

  atom(): string {
    return this.#word(ATOM, "atom");
  }

  /** Letters, digits and dots: `BODY.PEEK`, `RFC822.SIZE`, `HEADER.FIELDS`. @returns upper case */
  fetchName(): string {
    return this.#word(FETCH_NAME, "item name").toUpperCase();
  }

  /** A flag: `\Seen` or a keyword. */
  flag(): string {
    return this.skip("\\") ? `\\${this.atom()}` : this.atom();
  }

  /** @returns 0..4294967295 */
  number(): number {
    const text = this.#word(SET, "number");
    if (!/^\d{1,10}$/u.test(text) || Number(text) > 0xffffffff)
      throw new ImapSyntaxError("Expected a number");
    return Number(text);
  }

  /** Numbers, or `$` alone (RFC 5182 §3). */
  *sequenceSet(): Steps<SequenceSet> {
    if (this.skip("$")) return SAVED;
    return yield* parseSequenceSet(this.#bytesOf(SET, "sequence set"));
  }

  /** atom, quoted string or literal, as octets. */
  astring(): Buffer {
    return this.#isString() ? this.string() : this.#bytesOf(ASTRING, "string");
  }

  /** As {@link astring} where `%` and `*` may stand unquoted. */
  listMailbox(): Buffer {
    return this.#isString() ? this.string() : this.#bytesOf(LIST, "mailbox pattern");
  }

  /** quoted string or literal. */
  string(): Buffer {
    if (this.peek() === QUOTE) return this.#quoted();
    if (this.peek() === BRACE) return this.#literal();
    throw new ImapSyntaxError("Expected a string");
  }

  /** As {@link string}, or undefined for NIL. */
  nstring(): Buffer | undefined {
    if (this.#isString()) return this.string();
    if (this.keyword() !== "NIL") throw new ImapSyntaxError("Expected a string or NIL");
    return undefined;
  }

  /** Rest of the command up to its end, for what is not ours to parse. */
  rest(): Buffer {
    const rest = this.#bytes.subarray(this.#at);
    this.#at = this.#bytes.length;
    return rest;
  }

  #isString(): boolean {
    return this.peek() === QUOTE || this.peek() === BRACE;
  }

  #word(bits: number, what: string): string {
    return this.#bytesOf(bits, what).toString("latin1");
  }

  #bytesOf(bits: number, what: string): Buffer {
    const start = this.#at;
    while (((CLASSES[this.peek()] ?? 0) & bits) !== 0) this.#at += 1;
    if (this.#at === start) throw new ImapSyntaxError(`Expected ${what}`);
    return this.#bytes.subarray(start, this.#at);
  }

  #quoted(): Buffer {
    const start = this.#at + 1;
    let escaped = false;
    for (let at = start; at < this.#bytes.length; at += 1) {
      const octet = this.#bytes[at];
      if (octet === QUOTE) {
        this.#at = at + 1;
        const inner = this.#bytes.subarray(start, at);
        return escaped ? unquote(inner) : inner;
      }
      if (octet === BACKSLASH) {
        escaped = true;
        at += 1;
        const next = this.#bytes[at];
        if (next !== QUOTE && next !== BACKSLASH)
          throw new ImapSyntaxError("Invalid escape in quoted string");
      } else if (octet === 0 || octet === LF || octet === 13) break;
    }
    throw new ImapSyntaxError("Quoted string has no end");
  }

  #literal(): Buffer {
    this.expect("{");
    const size = this.number();
    this.skip("+");
    this.expect("}");
    this.skip("\r");
    if (!this.skip("\n")) throw new ImapSyntaxError("Literal is not followed by a line end");
    const end = this.#at + size;
    if (end > this.#bytes.length) throw new ImapSyntaxError("Literal is not complete");
    const literal = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return literal;
  }
}

function unquote(quoted: Buffer): Buffer {
  const plain = Buffer.allocUnsafe(quoted.length);
  let used = 0;
  for (let i = 0; i < quoted.length; i += 1) {
    if (quoted[i] === BACKSLASH) i += 1;
    used = plain.writeUInt8(quoted[i] ?? 0, used);
  }
  return plain.subarray(0, used);
}

/** True when `text` can be sent as a bare atom. */
export function isAtom(text: string): boolean {
  if (text === "") return false;
  for (let i = 0; i < text.length; i += 1) {
    if (((CLASSES[text.charCodeAt(i)] ?? 0) & ATOM) === 0) return false;
  }
  return true;
}
