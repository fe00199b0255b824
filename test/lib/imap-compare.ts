/** What two IMAP servers answered to one FETCH, so that only what means something else differs, and where exactly it differs. */
import { type ImapValue, readImap } from "../unit/core/mime/imap-reader.ts";
import { type FetchValue, readFetch } from "./imap-client.ts";

/** One place in one item where the two answers differ. */
export interface Difference {
  /** Item as answered, in upper case: `BODYSTRUCTURE`, `BODY[1.MIME]`. */
  readonly item: string;
  /** Indexes into nested lists; empty when the item is a string. */
  readonly path: readonly number[];
  readonly ours: ImapValue | undefined;
  readonly theirs: ImapValue | undefined;
}

/**
 * Strings may come quoted or as literals, NIL may stand for a part that is not there, \Recent depends on who looked before, and a
 * time may be told in any zone: none of these is a difference. Nor is the case of types, parameter names, charsets and
 * encodings (RFC 2045).
 */
export function differences(ours: string, theirs: string): readonly Difference[] {
  const [a, b] = [itemsOf(ours), itemsOf(theirs)];
  const names = new Set([...a.keys(), ...b.keys()]);
  return [...names].flatMap(item => leaves(item, [], a.get(item), b.get(item)));
}

function leaves(
  item: string,
  path: readonly number[],
  ours: ImapValue | undefined,
  theirs: ImapValue | undefined,
): readonly Difference[] {
  if (!isList(ours) || !isList(theirs)) return ours === theirs ? [] : [{ item, path, ours, theirs }];
  // A list of another length means another tree: told as one.
  if (ours.length !== theirs.length) return [{ item, path, ours, theirs }];
  return ours.flatMap((value, i) => leaves(item, [...path, i], value, theirs[i]));
}

const isList = (value: ImapValue | undefined): value is readonly ImapValue[] => Array.isArray(value);

function itemsOf(response: string): ReadonlyMap<string, ImapValue> {
  const items = new Map<string, ImapValue>();
  for (const [name, value] of readFetch(response)) {
    const known = name.toUpperCase().replaceAll('"', "");
    items.set(known, itemValue(known, value));
  }
  return items;
}

function itemValue(name: string, value: FetchValue): ImapValue {
  if (value === null) return "";
  if ("octets" in value) {
    const text = value.octets.toString("latin1");
    return name === "INTERNALDATE"
      ? Date.parse(text.trim().replaceAll("-", " ").replace(" 0000", " +0000"))
      : text;
  }
  if (name === "FLAGS") {
    const flags = value.text.slice(1, -1).split(" ");
    return flags.filter(flag => flag !== "\\Recent" && flag !== "").sort();
  }
  if (!value.text.startsWith("(")) return value.text;
  const list = readImap(Buffer.from(value.text, "latin1"));
  return name === "ENVELOPE" ? list : bodyInLowerCase(list);
}

function bodyInLowerCase(body: ImapValue | undefined): ImapValue {
  if (!isList(body)) return body ?? null;
  if (!isList(body[0])) return singleInLowerCase(body);
  const children = body.findIndex(each => !isList(each));
  return [
    ...body.slice(0, children).map(bodyInLowerCase),
    lower(body[children]),
    ...(body.length > children + 1
      ? [parameters(body[children + 1]), ...body.slice(children + 2).map(disposition)]
      : []),
  ];
}

function singleInLowerCase(body: readonly ImapValue[]): ImapValue {
  const [type, subtype, params, id, description, encoding, ...rest] = body;
  const isMessage = lower(type) === "message" && lower(subtype) === "rfc822";
  return [
    lower(type),
    lower(subtype),
    parameters(params),
    id ?? null,
    description ?? null,
    lower(encoding),
    ...rest.map((each, i) =>
      isMessage && i === 1 ? each : isMessage && i === 2 ? bodyInLowerCase(each) : disposition(each),
    ),
  ];
}

/** `("ATTACHMENT" ("NAME" "x"))`; other values stay as they are. */
function disposition(value: ImapValue): ImapValue {
  if (!isList(value) || value.length !== 2 || (value[1] !== null && !isList(value[1]))) return value;
  return [lower(value[0]), parameters(value[1])];
}

function parameters(value: ImapValue | undefined): ImapValue {
  if (!isList(value)) return value ?? null;
  return value.map((each, i) => (i % 2 === 0 || lower(value[i - 1]) === "charset" ? lower(each) : each));
}

const lower = (value: ImapValue | undefined): ImapValue =>
  typeof value === "string" ? value.toLowerCase() : (value ?? null);
