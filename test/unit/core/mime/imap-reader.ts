/**
 * An independent reader of IMAP data, for tests and fuzzing: parenthesised lists, quoted strings, literals, NIL, numbers
 * (RFC 3501 §4), and a check that a list is a valid BODYSTRUCTURE or ENVELOPE (§9).
 */
export type ImapValue = string | number | null | readonly ImapValue[];

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get done(): boolean {
    return this.#at === this.#text.length;
  }

  #fail(what: string): never {
    throw new Error(
      `IMAP syntax: ${what} at ${this.#at}: ${JSON.stringify(this.#text.slice(this.#at, this.#at + 40))}`,
    );
  }

  #match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, "y");
    sticky.lastIndex = this.#at;
    const found = sticky.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  value(): ImapValue {
    if (this.#match(/\(/) !== undefined) return this.#list();
    if (this.#match(/NIL/) !== undefined) return null;
    const number = this.#match(/\d+/);
    if (number !== undefined) return Number(number);
    const quoted = this.#match(/"(?:[^"\\\r\n\0\x80-\xff]|\\["\\])*"/);
    if (quoted !== undefined) return quoted.slice(1, -1).replace(/\\(.)/g, "$1");
    const literal = this.#match(/\{\d+\}\r\n/);
    if (literal === undefined) this.#fail("no value");
    const length = Number(literal.slice(1, -3));
    const text = this.#text.slice(this.#at, this.#at + length);
    if (text.length !== length || text.includes("\0")) this.#fail("bad literal");
    this.#at += length;
    return text;
  }

  /** Spaces stand between all elements but adjacent lists (body-type-mpart, address lists). */
  #list(): ImapValue {
    const out: ImapValue[] = [];
    while (this.#match(/\)/) === undefined) {
      if (this.done) this.#fail("list not closed");
      const spaced = this.#match(/ /) !== undefined;
      const adjacent = Array.isArray(out.at(-1)) && this.#text.charAt(this.#at) === "(";
      if (out.length > 0 && !spaced && !adjacent) this.#fail("no space");
      out.push(this.value());
    }
    return out;
  }
}

/** Read one value; nothing may follow it. */
export function readImap(bytes: Uint8Array): ImapValue {
  const reader = new Reader(Buffer.from(bytes).toString("latin1"));
  const value = reader.value();
  if (!reader.done) throw new Error("IMAP syntax: text after the value");
  return value;
}

function must(condition: boolean, what: string, value: ImapValue): void {
  if (!condition) throw new Error(`not valid, ${what}: ${JSON.stringify(value).slice(0, 200)}`);
}

const isNstring = (value: ImapValue | undefined): boolean => value === null || typeof value === "string";

export function checkEnvelope(value: ImapValue | undefined): void {
  if (!Array.isArray(value) || value.length !== 10) throw new Error("an ENVELOPE has ten members");
  for (const index of [0, 1, 8, 9]) must(isNstring(value[index]), "envelope string", value);
  for (const list of value.slice(2, 8)) {
    if (list === null) continue;
    must(Array.isArray(list) && list.length > 0, "address list", list);
    for (const address of list) must(address.length === 4 && address.every(isNstring), "address", address);
  }
}

function checkParameters(value: ImapValue | undefined): void {
  if (value === null) return;
  if (!Array.isArray(value) || value.length % 2 !== 0) throw new Error("parameters are pairs");
  must(value.length > 0 && value.every(item => typeof item === "string"), "parameters", value);
}

function checkTail(values: readonly ImapValue[]): void {
  const [disposition, language, location] = values;
  must(values.length === 3, "extension fields", values);
  if (disposition !== null) {
    must(Array.isArray(disposition) && typeof disposition[0] === "string", "disposition", values);
    if (Array.isArray(disposition)) checkParameters(disposition[1]);
  }
  must(isNstring(language) || (Array.isArray(language) && language.length > 0), "language", values);
  must(isNstring(location), "location", values);
}

/** Throws unless `value` is a body (RFC 3501 §9) in the extended or the plain form. */
export function checkBody(value: ImapValue | undefined, extended: boolean): void {
  if (!Array.isArray(value)) throw new Error("a body is a list");
  if (Array.isArray(value[0])) {
    const children = value.findIndex(item => !Array.isArray(item));
    for (const child of value.slice(0, children)) checkBody(child, extended);
    must(typeof value[children] === "string", "subtype", value);
    const rest = value.slice(children + 1);
    if (extended) {
      checkParameters(rest[0]);
      checkTail(rest.slice(1));
    } else must(rest.length === 0, "plain multipart", value);
    return;
  }
  const [type, subtype, params, id, description, encoding, size] = value;
  must(
    typeof type === "string" && typeof subtype === "string" && typeof encoding === "string",
    "strings",
    value,
  );
  checkParameters(params);
  must(isNstring(id) && isNstring(description) && typeof size === "number", "fields", value);
  let at = 7;
  if (type === "message" && subtype === "rfc822") {
    checkEnvelope(value[7]);
    checkBody(value[8], extended);
    at = 10;
  } else if (type === "text") at = 8;
  if (at > 7) must(typeof value[at - 1] === "number", "lines", value);
  if (extended) {
    must(isNstring(value[at]), "md5", value);
    checkTail(value.slice(at + 1));
  } else must(value.length === at, "plain part", value);
}
