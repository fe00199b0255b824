/**
 * What stands in for words, addresses, hosts and ids of a message: the same for the same, within one message. A key that nobody keeps
 * makes the choice, so that nothing can be worked back. Two passes: the first collects the words that there are, so that the second
 * makes none of them again.
 */
import { createHmac } from "node:crypto";
import { lettersLike, WORD } from "./letters.ts";

/** Words from this length on are never made again by chance, neither alone nor inside of others. */
export const GUARDED_LETTERS = 4;
/** Longest piece of a word that is compared with those. */
const MAX_GUARDED_LETTERS = 32;
/** Tries to find a word that is not there already. With that many words of four letters none is left to be found. */
const MAX_TRIES = 200;

export interface Counts {
  readonly addresses: number;
  readonly words: number;
}

export class Substitutes {
  readonly #key: Uint8Array;
  readonly #originals: ReadonlySet<string>;
  readonly #words = new Map<string, string>();
  readonly #numbered = new Map<string, Map<string, number>>();
  /** Words that went by, in lower case. */
  readonly seen = new Set<string>();

  /** @param originals  words that must not be made, in lower case */
  constructor(key: Uint8Array, originals: ReadonlySet<string>) {
    this.#key = key;
    this.#originals = originals;
  }

  get counts(): Counts {
    return { addresses: this.#numbered.get("address")?.size ?? 0, words: this.#words.size };
  }

  /** Every word and number of a text; what is between them stays. */
  words(text: string): string {
    return text.replace(WORD, word => this.#word(word));
  }

  address(address: string): string {
    const at = address.lastIndexOf("@");
    return `a${this.#number("address", address)}@${this.host(address.slice(at + 1))}`;
  }

  host(name: string): string {
    return `d${this.#number("host", name)}.example`;
  }

  /** RFC 5737: TEST-NET-1. */
  ip(address: string): string {
    return `192.0.2.${this.#number("ip", address) % 255}`;
  }

  /** Without angle brackets. */
  messageId(id: string): string {
    return `m${this.#number("id", id)}@d.example`;
  }

  /** RFC 2046 §5.1.1. */
  boundary(original: string): string {
    return `=_b${this.#number("boundary", original)}`;
  }

  #number(kind: string, original: string): number {
    const known = this.#numbered.get(kind) ?? new Map<string, number>();
    this.#numbered.set(kind, known);
    const key = original.toLowerCase();
    const number = known.get(key) ?? known.size + 1;
    known.set(key, number);
    for (const [word] of original.matchAll(WORD)) this.seen.add(word.toLowerCase());
    return number;
  }

  #word(original: string): string {
    const lower = original.toLowerCase();
    this.seen.add(lower);
    const made = this.#words.get(lower) ?? this.#make(lower);
    this.#words.set(lower, made);
    return inCaseOf(original, made);
  }

  #make(lower: string): string {
    for (let round = 0; ; round++) {
      const made = this.#attempt(lower, round);
      if (round >= MAX_TRIES || !this.#isGuarded(made)) return made;
    }
  }

  #attempt(lower: string, round: number): string {
    const letters = [...lower];
    const plain = letters.filter(letter => lettersLike(letter) !== undefined).length;
    return letters
      .map((letter, i) => {
        // An accented letter stays while others of its word go.
        const like = lettersLike(letter) ?? (plain * 2 >= letters.length ? [letter] : lettersLike("a"));
        const digits = letter >= "1" && letter <= "9" && i === 0 ? like?.slice(1) : like;
        return pick(digits ?? [letter], this.#octets(lower, round, i));
      })
      .join("");
  }

  #octets(word: string, round: number, index: number): number {
    return createHmac("sha256", this.#key).update(`${round}:${index}:${word}`).digest().readUInt32BE(0);
  }

  #isGuarded(made: string): boolean {
    const letters = [...made];
    for (let start = 0; start + GUARDED_LETTERS <= letters.length; start++) {
      const last = Math.min(letters.length, start + MAX_GUARDED_LETTERS);
      for (let end = start + GUARDED_LETTERS; end <= last; end++)
        if (this.#originals.has(letters.slice(start, end).join(""))) return true;
    }
    return false;
  }
}

const pick = (letters: readonly string[], number: number): string => letters[number % letters.length] ?? "x";

/** `Invoice` and `INVOICE` are the same word. */
function inCaseOf(original: string, made: string): string {
  const letters = [...original];
  return [...made]
    .map((letter, i) => {
      const model = letters[i] ?? "";
      return model !== model.toLowerCase() && letter.toUpperCase().length === letter.length
        ? letter.toUpperCase()
        : letter;
    })
    .join("");
}
