/**
 * Address lists of header fields (RFC 5322 §3.4 and its obsolete forms, RFC 3501 §7.4.2), read tolerantly: every text
 * gives a list, nothing throws, and one pass is made whatever quotes and parentheses are left open. Text stays raw
 * octets; display names may hold encoded words (`decodeHeaderValue`).
 */
import { AddressLexer, type Token } from "./address-lexer.ts";
import type { ByteText } from "./structure.ts";

export interface Mailbox {
  readonly kind: "mailbox";
  /** Display name, or the comment that old mailers put it in. */
  readonly name: ByteText | undefined;
  /** RFC 5322 §4.4 source route, e.g. `@a,@b`. */
  readonly route: ByteText | undefined;
  /** Local part, quotes undone; "" when the field had none. */
  readonly mailbox: ByteText;
  /** "" when the field had none. */
  readonly host: ByteText;
}

export interface Group {
  readonly kind: "group";
  readonly name: ByteText;
  readonly members: readonly Mailbox[];
}

export type Address = Mailbox | Group;

/** One address under construction. */
interface Draft {
  /** Words outside angle brackets that may belong to an addr-spec: local part, then host. */
  words: string[];
  /** Everything outside angle brackets, white space reduced to one space: the display name. */
  phrase: string;
  /** Length of `phrase` before the words that `words` holds: what stands there is a name in any case. */
  nameLength: number;
  comment: string | undefined;
  /** Index in `words` of the first word after `@`, outside brackets. */
  at: number;
  /** The words hold a whole addr-spec; what follows is only phrase. */
  complete: boolean;
  bracket: Mailbox | undefined;
}

function newDraft(): Draft {
  return {
    words: [],
    phrase: "",
    nameLength: 0,
    comment: undefined,
    at: -1,
    complete: false,
    bracket: undefined,
  };
}

/** White space ends a local part or host unless a dot stands beside it (RFC 5322 §4.4 obs-local-part). */
function addWord(draft: Draft, text: string, spaced: boolean): void {
  const last = draft.words.at(-1);
  const apart = spaced && text !== "." && last !== undefined && last !== ".";
  if (apart && draft.at === -1) {
    draft.words = [];
    draft.nameLength = draft.phrase.length;
  }
  // `a@b c@d`, the comma forgotten: only the first is an address.
  draft.complete ||= apart && draft.at !== -1 && draft.words.length > draft.at;
  if (!draft.complete) draft.words.push(text);
  draft.phrase += spaced && draft.phrase !== "" ? ` ${text}` : text;
}

function orUndefined(text: string): string | undefined {
  return text === "" ? undefined : text;
}

function finishDraft(draft: Draft): Mailbox {
  const { words, phrase, at, bracket, comment } = draft;
  if (bracket !== undefined) return { ...bracket, name: orUndefined(phrase) ?? comment };
  // No `@` and a space: a name that lost its address. Without a space it can only be a local part.
  if (at === -1 && phrase.includes(" ")) {
    return { kind: "mailbox", name: phrase, route: undefined, mailbox: "", host: "" };
  }
  const split = at === -1 ? words.length : at;
  return {
    kind: "mailbox",
    // `Real Name user@host`, the brackets forgotten.
    name: orUndefined(phrase.slice(0, draft.nameLength)) ?? comment,
    route: undefined,
    mailbox: words.slice(0, split).join(""),
    host: words.slice(split).join(""),
  };
}

function isEmpty(draft: Draft): boolean {
  return draft.phrase === "" && draft.bracket === undefined;
}

/** Read `<…>`; the `<` is consumed. Ends at `>`, or where a list separator shows that it was forgotten. */
function readBracket(lexer: AddressLexer): Mailbox {
  const pieces: string[] = [];
  let route = "";
  let at = -1;
  for (let token = lexer.next(); token.kind !== "end"; token = lexer.next()) {
    if (token.kind === "comment") continue;
    if (token.kind === "word") {
      pieces.push(token.text);
      continue;
    }
    if (token.text === ">") break;
    if (token.text === "@") {
      at = pieces.length;
      continue;
    }
    const isRoute = at === 0 && (token.text === ":" || token.text === ",");
    if (isRoute) {
      route += `${route === "" ? "" : ","}@${pieces.join("")}`;
      pieces.length = 0;
      at = -1;
    } else if (token.text === "," || token.text === ";") {
      lexer.pushBack(token);
      break;
    } else pieces.push(token.text);
  }
  const split = at === -1 ? pieces.length : at;
  return {
    kind: "mailbox",
    name: undefined,
    route: route === "" ? undefined : route,
    mailbox: pieces.slice(0, split).join(""),
    host: pieces.slice(split).join(""),
  };
}

class ListReader {
  readonly #lexer: AddressLexer;
  readonly #max: number;
  readonly #out: Address[] = [];
  #count = 0;
  #group: { readonly name: string; readonly members: Mailbox[] } | undefined;
  #draft = newDraft();

  constructor(value: ByteText, max: number) {
    this.#lexer = new AddressLexer(value);
    this.#max = max;
  }

  read(): readonly Address[] {
    for (
      let token = this.#lexer.next();
      token.kind !== "end" && this.#count < this.#max;
      token = this.#lexer.next()
    ) {
      this.#take(token);
    }
    this.#endAddress();
    this.#endGroup();
    return this.#out;
  }

  #take(token: Token): void {
    if (token.kind === "comment") this.#draft.comment ??= orUndefined(token.text);
    else if (token.kind === "word") addWord(this.#draft, token.text, token.spaced);
    else if (token.kind === "special") this.#special(token.text, token.spaced);
  }

  #special(text: string, spaced: boolean): void {
    const draft = this.#draft;
    if (text === ",") this.#endAddress();
    else if (text === ";") {
      this.#endAddress();
      this.#endGroup();
    } else if (text === "<") {
      const bracket = readBracket(this.#lexer);
      draft.bracket ??= bracket;
    } else if (text === "@") {
      if (draft.at === -1) draft.at = draft.words.length;
      draft.phrase += "@";
    } else if (text === ":") this.#startGroup();
    else if (text === ".") addWord(draft, ".", spaced);
  }

  #startGroup(): void {
    if (this.#group !== undefined || this.#draft.at >= 0 || this.#draft.bracket !== undefined) return;
    this.#group = { name: this.#draft.phrase, members: [] };
    this.#draft = newDraft();
  }

  #endAddress(): void {
    const draft = this.#draft;
    this.#draft = newDraft();
    if (isEmpty(draft)) return;
    this.#count++;
    const mailbox = finishDraft(draft);
    if (this.#group !== undefined) this.#group.members.push(mailbox);
    else this.#out.push(mailbox);
  }

  #endGroup(): void {
    if (this.#group === undefined) return;
    // Groups without members would pass every limit.
    this.#count++;
    this.#out.push({ kind: "group", name: this.#group.name, members: this.#group.members });
    this.#group = undefined;
  }
}

/**
 * Read an address list.
 *
 * @param value  unfolded, octets as characters
 * @param max    addresses and groups to read; the rest of the value is not looked at
 */
export function parseAddressList(
  value: ByteText,
  max: number = Number.POSITIVE_INFINITY,
): readonly Address[] {
  return new ListReader(value, max).read();
}
