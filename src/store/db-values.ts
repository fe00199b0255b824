/**
 * How values cross between JavaScript and PostgreSQL (step 7, below `db.ts`). Pure.
 *
 * Parameters are normalised before the driver sees them, because it guesses an array's type from its first element and guesses
 * wrong for Date, boolean, bigint and bytes; the server's own description of the parameter decides instead.
 * Failures: `invalid_argument` for what cannot be a parameter, `internal` for a result that JavaScript cannot hold exactly.
 * Sources: PostgreSQL manual §8.4 (bytea hex), §8.15 (array text form), catalog pg_type.dat (type numbers).
 */
import { MairustError } from "../core/errors.ts";

/** What may stand in `${…}` of a query. A plain object becomes JSON; wrap a JSON array, string or number in {@link json}. */
export type SqlValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | Json
  | Fragment
  | Readonly<Record<string, unknown>>
  | readonly SqlElement[];

/** Elements of an array parameter: `unnest(${list}::bytea[])`. */
export type SqlElement = string | number | bigint | boolean | null | Date | Uint8Array | Json;

/** A value bound as JSON, whatever its shape. */
export class Json {
  readonly value: unknown;
  constructor(value: unknown) {
    this.value = value;
  }
}

/** Bind `value` as one JSON document (json or jsonb), also inside an array for `jsonb[]`. */
export function json(value: unknown): Json {
  return new Json(value);
}

/** A piece of a statement, made by {@link sql}; its values stay parameters. */
export class Fragment {
  readonly strings: readonly string[];
  readonly values: readonly SqlValue[];
  constructor(strings: readonly string[], values: readonly SqlValue[]) {
    this.strings = strings;
    this.values = values;
  }
}

/** A piece of SQL to put into a query: ``db.query`select … where true ${seen ? sql`and seen = ${seen}` : sql``}` ``. */
export function sql(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Fragment {
  return new Fragment(strings, values);
}

/** Parameters of one statement; the protocol counts them in 16 bits (manual §53.7, Bind). Pass arrays for more. */
export const MAX_PARAMETERS = 65_533;

/** A statement as the driver takes it: text with `$1…`, and normalised parameters. */
export interface Statement {
  readonly text: string;
  readonly parameters: readonly unknown[];
}

/**
 * Build the statement of a tagged template.
 * @throws {MairustError} `invalid_argument`: undefined among the values, or too many of them
 */
export function statementOf(strings: readonly string[], values: readonly SqlValue[]): Statement {
  const parameters: unknown[] = [];
  const text = append("", strings, values, parameters);
  if (parameters.length > MAX_PARAMETERS) {
    throw new MairustError(
      "invalid_argument",
      `Cannot bind ${parameters.length} parameters: pass arrays instead`,
    );
  }
  return { text, parameters };
}

function append(
  text: string,
  strings: readonly string[],
  values: readonly SqlValue[],
  parameters: unknown[],
): string {
  let out = text + (strings[0] ?? "");
  for (const [i, value] of values.entries()) {
    if (value instanceof Fragment) out = append(out, value.strings, value.values, parameters);
    else out += `$${parameters.push(normalise(value))}`;
    out += strings[i + 1] ?? "";
  }
  return out;
}

function normalise(value: SqlValue | undefined): unknown {
  if (value === undefined) throw new MairustError("invalid_argument", "Cannot bind undefined: use null");
  return Array.isArray(value) ? value.map(element => elementText(element)) : value;
}

/** Elements as the text PostgreSQL reads, so that nothing is left to guess; numbers and null stay. */
function elementText(element: SqlElement | undefined): string | number | null {
  if (element === undefined) throw new MairustError("invalid_argument", "Cannot bind undefined: use null");
  if (element === null || typeof element === "string" || typeof element === "number") return element;
  if (typeof element === "boolean") return element ? "t" : "f";
  if (typeof element === "bigint") return element.toString();
  if (element instanceof Date) return element.toISOString();
  if (element instanceof Uint8Array) return byteaText(element);
  return jsonText(element);
}

/** The hex form of bytes, without copying them first. */
export function byteaText(bytes: Uint8Array | string): string {
  if (typeof bytes === "string") return bytes;
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`;
}

/** Escapes of JSON text that jsonb refuses: U+0000 and lone surrogates. The first alternative skips escaped backslashes. */
const UNSTORABLE_ESCAPE = /\\\\|\\u(?:0000|d[89a-f][0-9a-f]{2})/gi;

/** JSON text that json and jsonb take: what they refuse becomes U+FFFD, as in {@link pgText}. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value instanceof Json ? value.value : value) ?? "null";
  if (!text.includes("\\u")) return text;
  return text.replace(UNSTORABLE_ESCAPE, found => (found === "\\\\" ? found : "\\ufffd"));
}

/** U+0000, or a surrogate without its partner. */
const UNSTORABLE_TEXT = /\0|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Text that a text column takes: U+0000 (PostgreSQL refuses it) and lone surrogates (no UTF-8 for them) become U+FFFD. */
export function pgText(text: string): string {
  return text.replace(UNSTORABLE_TEXT, "\ufffd");
}

/** int8 as a number. @throws {MairustError} `internal`: beyond 2^53 - 1, where numbers are no longer exact */
export function safeInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new MairustError("internal", `Cannot read integer "${text}": it is not exact as a number`);
  }
  return value;
}

/** The text form of a one-dimensional array. A string passes: it is such a text already. */
export function arrayText(elements: readonly (string | number | null)[] | string): string {
  if (typeof elements === "string") return elements;
  let out = "{";
  for (const element of elements) {
    if (out.length > 1) out += ",";
    if (element === null) out += "NULL";
    else if (typeof element === "number") out += element;
    else out += `"${element.replace(/["\\]/g, "\\$&")}"`;
  }
  return `${out}}`;
}

/**
 * Read the text form of a one-dimensional array.
 * @throws {MairustError} `internal`: more than one dimension
 */
export function parseArray<T>(text: string, parse: (element: string) => T): (T | null)[] {
  const element = (raw: string) => (raw === "NULL" ? null : parse(raw));
  if (text === "{}") return [];
  if (!text.includes('"') && !text.includes("{", 1)) return text.slice(1, -1).split(",").map(element);
  const out: (T | null)[] = [];
  let at = 1;
  while (at < text.length) {
    if (text[at] === "{")
      throw new MairustError("internal", "Cannot read an array of more than one dimension");
    if (text[at] !== '"') {
      const end = endOfPlain(text, at);
      out.push(element(text.slice(at, end)));
      at = end + 1;
      continue;
    }
    let raw = "";
    for (at += 1; text[at] !== '"' && at < text.length; at += 1) {
      if (text[at] === "\\") at += 1;
      raw += text[at] ?? "";
    }
    out.push(parse(raw));
    at += 2;
  }
  return out;
}

function endOfPlain(text: string, from: number): number {
  const comma = text.indexOf(",", from);
  return comma === -1 ? text.length - 1 : comma;
}

const identity = (text: string) => text;
const toBuffer = (text: string) => Buffer.from(text.slice(2), "hex");
const toDate = (text: string) => new Date(text);
const toBoolean = (text: string) => text === "t";
const toJson = (text: string): unknown => JSON.parse(text);

/** One entry of the driver's `types` option. */
interface TypeHandler {
  readonly to: number;
  readonly from: number[];
  /** A method, so that handlers may name the type they expect. */
  serialize(value: unknown): unknown;
  parse(text: string): unknown;
}

function arrayType(oid: number, parse: (element: string) => unknown): TypeHandler {
  return { to: oid, from: [oid], serialize: arrayText, parse: text => parseArray(text, parse) };
}

/**
 * Types by number, fixed here: letting the driver ask the server for them on each connect costs a round trip, and an answer cut
 * short by a server shutdown ends the whole process (its promise has no handler).
 */
export const TYPES: Readonly<Record<string, TypeHandler>> = {
  int8: { to: 20, from: [20], serialize: (value: unknown) => String(value), parse: safeInteger },
  bytea: { to: 17, from: [17], serialize: byteaText, parse: toBuffer },
  json: { to: 3802, from: [114, 3802], serialize: jsonText, parse: toJson },
  boolArray: arrayType(1000, toBoolean),
  byteaArray: arrayType(1001, toBuffer),
  int2Array: arrayType(1005, Number),
  int4Array: arrayType(1007, Number),
  textArray: arrayType(1009, identity),
  varcharArray: arrayType(1015, identity),
  int8Array: arrayType(1016, safeInteger),
  float4Array: arrayType(1021, Number),
  float8Array: arrayType(1022, Number),
  dateArray: arrayType(1182, toDate),
  timestamptzArray: arrayType(1185, toDate),
  numericArray: arrayType(1231, identity),
  uuidArray: arrayType(2951, identity),
  jsonbArray: arrayType(3807, toJson),
};
