/**
 * Tokens of an address list (RFC 5322 §3.2): words (atoms, quoted strings, domain literals), comments, specials. A quote or
 * parenthesis that is never closed is an ordinary character; that is found out once per kind, so lexing stays linear.
 */
import { trimText } from "./byte-text.ts";
import type { ByteText } from "./structure.ts";

export type Token =
  | { readonly kind: "word"; readonly text: string /** White space before it. */; readonly spaced: boolean }
  | { readonly kind: "comment"; readonly text: string }
  | { readonly kind: "special"; readonly text: string; readonly spaced: boolean }
  | { readonly kind: "end" };

const END: Token = { kind: "end" };
const SPECIALS = "<>,;:@.";
const ATOM_END = /[\x00-\x20<>,;:@."(]/;

export class AddressLexer {
  readonly #text: ByteText;
  #position = 0;
  #pushed: Token | undefined;
  #spaced = false;
  #steps = 0;
  #quotesOpen = false;
  #commentsOpen = false;

  constructor(text: ByteText) {
    this.#text = text;
  }

  /** Octets looked at in search of closing quotes and parentheses: what the tests of linear growth read. */
  get steps(): number {
    return this.#steps;
  }

  /** Give one token back; the next `next()` returns it again. */
  pushBack(token: Token): void {
    this.#pushed = token;
  }

  next(): Token {
    const pushed = this.#pushed;
    if (pushed !== undefined) {
      this.#pushed = undefined;
      return pushed;
    }
    const text = this.#text;
    const from = this.#position;
    while (this.#position < text.length && text.charCodeAt(this.#position) <= 0x20) this.#position++;
    this.#spaced = this.#position > from;
    if (this.#position >= text.length) return END;
    const c = text.charAt(this.#position);
    if (SPECIALS.includes(c)) {
      this.#position++;
      return { kind: "special", text: c, spaced: this.#spaced };
    }
    return (
      (c === '"' ? this.#quoted() : undefined) ??
      (c === "(" ? this.#comment() : undefined) ??
      (c === "[" ? this.#literal() : this.#atom())
    );
  }

  #atom(): Token {
    const from = this.#position;
    // The first character belongs to the word whatever it is: an open quote or parenthesis comes here.
    this.#position++;
    while (this.#position < this.#text.length && !ATOM_END.test(this.#text.charAt(this.#position)))
      this.#position++;
    return { kind: "word", text: this.#text.slice(from, this.#position), spaced: this.#spaced };
  }

  /** Unescape `[from, to)`: a backslash makes the next character literal. */
  #unescape(from: number, to: number): string {
    return this.#text.slice(from, to).replace(/\\([\s\S])/g, "$1");
  }

  #quoted(): Token | undefined {
    if (this.#quotesOpen) return undefined;
    for (let i = this.#position + 1; i < this.#text.length; i++) {
      const c = this.#text.charCodeAt(i);
      this.#steps++;
      if (c === 0x5c) i++;
      else if (c === 0x22) {
        const token: Token = {
          kind: "word",
          text: this.#unescape(this.#position + 1, i),
          spaced: this.#spaced,
        };
        this.#position = i + 1;
        return token;
      }
    }
    this.#quotesOpen = true;
    return undefined;
  }

  #comment(): Token | undefined {
    if (this.#commentsOpen) return undefined;
    let depth = 0;
    for (let i = this.#position; i < this.#text.length; i++) {
      const c = this.#text.charCodeAt(i);
      this.#steps++;
      if (c === 0x5c) i++;
      else if (c === 0x28) depth++;
      else if (c === 0x29 && --depth === 0) {
        const token: Token = { kind: "comment", text: trimText(this.#unescape(this.#position + 1, i)) };
        this.#position = i + 1;
        return token;
      }
    }
    this.#commentsOpen = true;
    return undefined;
  }

  /** `[IPv6:2001:db8::1]`: colons inside are no group. Open ones end at white space like an atom. */
  #literal(): Token {
    const rest = /^\[[^\]\x00-\x20,;<>]*\]/.exec(this.#text.slice(this.#position, this.#position + 256));
    if (rest === null) return this.#atom();
    this.#position += rest[0].length;
    return { kind: "word", text: rest[0], spaced: this.#spaced };
  }
}
