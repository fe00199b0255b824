/**
 * Readers of the MIME fields of a part: Content-Type, Content-Disposition and their parameters (RFC 2045 §5.1, RFC 2183,
 * RFC 2231), Content-Transfer-Encoding, Content-Language. Tolerant: whatever stands there gives the best reading or
 * undefined, never an error, in one pass over the value.
 */
import { trimText } from "./byte-text.ts";
import { LANGUAGES_MAX, PARAMETERS_MAX, TOKEN_BYTES_MAX } from "./limits.ts";
import { joinContinuations } from "./rfc2231.ts";
import type { ByteText, Disposition, Parameter } from "./structure.ts";

export interface MediaType {
  /** Lower case. */
  readonly type: string;
  readonly subtype: string;
  readonly params: readonly Parameter[];
}

/** Names whose unquoted values are commonly written with spaces (`filename=annual report.pdf`). */
const SPACED_VALUES: ReadonlySet<string> = new Set(["name", "filename"]);

const TOKEN_END = /[\x00-\x20;="(),/]/;

/** A cursor over one unfolded value. Every method moves forward only: reading a value is linear. */
class ValueCursor {
  readonly text: ByteText;
  position = 0;

  constructor(text: ByteText) {
    this.text = text;
  }

  get done(): boolean {
    return this.position >= this.text.length;
  }

  peek(): string {
    return this.text.charAt(this.position);
  }

  /** White space and comments, nested ones too; an unterminated comment runs to the end. */
  skipCfws(): void {
    while (!this.done) {
      const c = this.peek();
      if (c === "(") this.#skipComment();
      else if (c <= " ") this.position++;
      else return;
    }
  }

  #skipComment(): void {
    let depth = 0;
    for (; this.position < this.text.length; this.position++) {
      const c = this.text.charCodeAt(this.position);
      if (c === 0x5c) this.position++;
      else if (c === 0x28) depth++;
      else if (c === 0x29 && --depth === 0) {
        this.position++;
        return;
      }
    }
  }

  /** Up to the next separator; may be empty. */
  token(): string {
    const from = this.position;
    while (!this.done && !TOKEN_END.test(this.peek())) this.position++;
    return this.text.slice(from, this.position);
  }

  /** The opening quote is next. A missing closing quote ends the string at the end of the value. */
  quoted(): string {
    const { text } = this;
    const parts: string[] = [];
    let from = ++this.position;
    for (; this.position < text.length; this.position++) {
      const c = text.charCodeAt(this.position);
      if (c === 0x22) break;
      if (c !== 0x5c) continue;
      parts.push(text.slice(from, this.position));
      from = ++this.position;
    }
    parts.push(text.slice(from, this.position));
    this.position++;
    return parts.join("");
  }

  /** Everything before the next `;`. */
  untilSemicolon(): string {
    const at = this.text.indexOf(";", this.position);
    const from = this.position;
    this.position = at === -1 ? this.text.length : at;
    return this.text.slice(from, this.position);
  }
}

function unquotedValue(cursor: ValueCursor, name: string): string {
  const from = cursor.position;
  while (!cursor.done && !/[\x00-\x20;(]/.test(cursor.peek())) cursor.position++;
  const first = cursor.text.slice(from, cursor.position);
  const base = name.replace(/\*.*$/, "");
  const next = cursor.position;
  if (!SPACED_VALUES.has(base) || cursor.peek() === "" || cursor.peek() === ";") return first;
  const rest = cursor.untilSemicolon();
  if (!rest.includes("=")) return trimText(first + rest);
  cursor.position = next;
  return first;
}

function parseParameters(cursor: ValueCursor): readonly Parameter[] {
  const found: Parameter[] = [];
  const seen = new Set<string>();
  while (found.length < PARAMETERS_MAX) {
    cursor.skipCfws();
    if (cursor.done) break;
    const before = cursor.position;
    const name = cursor.token().toLowerCase();
    cursor.skipCfws();
    if (name === "" || cursor.peek() !== "=") {
      // A separator, or a word without a value: leave it out. Always step on, or the loop would not end.
      if (cursor.position === before) cursor.position++;
      continue;
    }
    cursor.position++;
    cursor.skipCfws();
    const value = cursor.peek() === '"' ? cursor.quoted() : unquotedValue(cursor, name);
    if (seen.has(name) || name.length > TOKEN_BYTES_MAX) continue;
    seen.add(name);
    found.push({ name, value });
  }
  return joinContinuations(found);
}

/**
 * Read a Content-Type value.
 *
 * @param value  unfolded
 * @returns      undefined when no type can be read (RFC 2045 §5.2 then means text/plain). `text` alone, as old
 *               mailers write it, is `text/plain`.
 */
export function parseMediaType(value: ByteText): MediaType | undefined {
  const cursor = new ValueCursor(value);
  cursor.skipCfws();
  const type = cursor.token().toLowerCase();
  cursor.skipCfws();
  let subtype = "";
  if (cursor.peek() === "/") {
    cursor.position++;
    cursor.skipCfws();
    subtype = cursor.token().toLowerCase();
  }
  if (subtype === "" && type === "text") subtype = "plain";
  if (!isToken(type) || !isToken(subtype)) return undefined;
  return { type, subtype, params: parseParameters(cursor) };
}

/** Printable US-ASCII without specials, of sane length (RFC 2045 §5.1 token). */
function isToken(text: string): boolean {
  return text.length <= TOKEN_BYTES_MAX && /^[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+$/.test(text);
}

/**
 * Read a Content-Disposition value (RFC 2183 §2); undefined when it says nothing. Without a type (`filename=x`, `; filename=x`)
 * it is an attachment: the name still counts, and RFC 2183 §2.8 reads what it does not know so.
 */
export function parseDisposition(value: ByteText): Disposition | undefined {
  const cursor = new ValueCursor(value);
  cursor.skipCfws();
  const type = cursor.token().toLowerCase();
  cursor.skipCfws();
  if (isToken(type) && cursor.peek() !== "=") return { type, params: parseParameters(cursor) };
  const params = parseParameters(new ValueCursor(value));
  return params.length > 0 ? { type: "attachment", params } : undefined;
}

/** Read a Content-Transfer-Encoding value: its token as written, or undefined. */
export function parseEncoding(value: ByteText): string | undefined {
  const cursor = new ValueCursor(value);
  cursor.skipCfws();
  const token = cursor.token();
  return isToken(token) ? token : undefined;
}

/** Read a Content-Language value (RFC 3282): tags in order. */
export function parseLanguages(value: ByteText): readonly string[] {
  const cursor = new ValueCursor(value);
  const tags: string[] = [];
  while (tags.length < LANGUAGES_MAX) {
    cursor.skipCfws();
    if (cursor.done) break;
    const tag = cursor.token();
    if (tag === "") cursor.position++;
    else if (isToken(tag)) tags.push(tag);
  }
  return tags;
}

/** The value of a parameter by its plain name, or undefined. */
export function parameterValue(params: readonly Parameter[], name: string): ByteText | undefined {
  return params.find(p => p.name === name)?.value;
}
