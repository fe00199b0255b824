/** The items of an answer beside the verdict: shapes, grants, the point's table, and the rules of their values. */
import {
  MAX_METADATA_KEYS,
  MAX_METADATA_VALUE_BYTES,
  MAX_TAGS,
  METADATA_KEY_PATTERN,
  OWN_TAG_PREFIX,
  TAG_PATTERN,
} from "../wire/answer.ts";
import { type CheckedEdits, checkEdits } from "./answer-edits.ts";
import {
  type Deny,
  hasControls,
  hasLoneSurrogate,
  isText,
  Malformed,
  type RawObject,
  readObject,
  readStrings,
} from "./answer-read.ts";
import { type ItemContext, may } from "./answer-rights.ts";
import { FLAG_ANSWERED, FLAG_FLAGGED, FLAG_SEEN } from "./ports/store.ts";
import { utf8Length } from "./utf8-cut.ts";

export interface CheckedItems extends CheckedEdits {
  readonly tagsAdd: readonly string[];
  readonly tagsRemove: readonly string[];
  /** OR of FLAG_ bits. */
  readonly systemFlags: number;
  readonly keywords: readonly string[];
  readonly folder: string | undefined;
  /** Keys are namespaced already: `plugin:<id>:<key>`. */
  readonly metadata: ReadonlyMap<string, unknown>;
}

/** @throws {Malformed} a wrong type anywhere, also in items that are not granted */
export function checkItems(raw: RawObject, context: ItemContext): CheckedItems {
  const tags = readAddRemove(raw.tags, "tags");
  const flags = readAddRemove(raw.flags, "flags");
  const mayTag = tags.add.length + tags.remove.length > 0 && may("tags", context);
  const mayFlag = flags.add.length + flags.remove.length > 0 && may("flags", context);
  if (mayFlag && flags.remove.length > 0) context.deny("flags.remove", "flags can only be added here");
  return {
    tagsAdd: mayTag ? checkTags(tags.add, "tags.add", context.deny) : [],
    tagsRemove: mayTag ? checkTags(tags.remove, "tags.remove", context.deny) : [],
    ...checkFlags(mayFlag ? flags.add : [], context.deny),
    folder: checkFolder(raw.folder, context),
    metadata: checkMetadata(raw.metadata, context),
    ...checkEdits(raw, context),
  };
}

function readAddRemove(
  value: unknown,
  name: string,
): { readonly add: readonly string[]; readonly remove: readonly string[] } {
  if (value === undefined) return { add: [], remove: [] };
  const object = readObject(value, name);
  return {
    add: readStrings(object.add, `${name}.add`),
    remove: readStrings(object.remove, `${name}.remove`),
  };
}

const TAG = new RegExp(TAG_PATTERN);

function checkTags(tags: readonly string[], item: string, deny: Deny): readonly string[] {
  if (tags.length > MAX_TAGS) deny(item, `more than ${MAX_TAGS}`);
  const kept = new Set<string>();
  for (const tag of tags.slice(0, MAX_TAGS)) {
    if (!TAG.test(tag)) deny(item, "a tag is none of [a-z0-9][a-z0-9_.:-]{0,63}");
    else if (tag.startsWith(OWN_TAG_PREFIX)) deny(item, `tags under ${OWN_TAG_PREFIX} are the core's own`);
    else kept.add(tag);
  }
  return [...kept];
}

const SYSTEM_FLAGS: ReadonlyMap<string, number> = new Map([
  ["\\seen", FLAG_SEEN],
  ["\\answered", FLAG_ANSWERED],
  ["\\flagged", FLAG_FLAGGED],
]);
/** RFC 3501 §9 flag-keyword = atom; kept to the characters every client can name. */
const KEYWORD = /^[A-Za-z0-9$][A-Za-z0-9_.:$-]{0,63}$/;

function checkFlags(flags: readonly string[], deny: Deny): Pick<CheckedItems, "systemFlags" | "keywords"> {
  let systemFlags = 0;
  const keywords = new Set<string>();
  if (flags.length > MAX_TAGS) deny("flags.add", `more than ${MAX_TAGS}`);
  for (const flag of flags.slice(0, MAX_TAGS)) {
    const bit = SYSTEM_FLAGS.get(flag.toLowerCase());
    if (bit !== undefined) systemFlags |= bit;
    else if (!KEYWORD.test(flag) || flag.toLowerCase().startsWith(OWN_TAG_PREFIX))
      deny("flags.add", "not a flag that plugins may set");
    else keywords.add(flag);
  }
  return { systemFlags, keywords: [...keywords] };
}

/** Longest folder name, in bytes of UTF-8. */
const MAX_FOLDER_BYTES = 255;

function checkFolder(value: unknown, context: ItemContext): string | undefined {
  if (value === undefined) return undefined;
  if (!isText(value)) throw new Malformed("folder is not a text");
  if (!may("folder", context)) return undefined;
  const problem = folderProblem(value);
  if (problem !== undefined) context.deny("folder", problem);
  // RFC 3501 §5.1: INBOX is the same name in any case.
  else return value.toLowerCase() === "inbox" ? "INBOX" : value.normalize("NFC");
  return undefined;
}

function folderProblem(folder: string): string | undefined {
  if (utf8Length(folder) > MAX_FOLDER_BYTES) return `longer than ${MAX_FOLDER_BYTES} bytes`;
  if (hasControls(folder) || hasLoneSurrogate(folder)) return "it holds controls";
  // RFC 3501 §6.3.8: `%` and `*` are wildcards of LIST; a backslash is no part of a name that every client can quote.
  if (/[%*\\]/.test(folder)) return "it holds % or * or a backslash";
  const broken = folder
    .split("/")
    .some(part => part.trim() !== part || part === "" || part === "." || part === "..");
  return broken ? "it is not a path of plain names" : undefined;
}

const METADATA_KEY = new RegExp(METADATA_KEY_PATTERN);
/** Deepest nesting of a metadata value. */
const MAX_METADATA_DEPTH = 16;

function checkMetadata(value: unknown, context: ItemContext): ReadonlyMap<string, unknown> {
  const kept = new Map<string, unknown>();
  if (value === undefined) return kept;
  const entries = Object.entries(readObject(value, "metadata"));
  if (entries.length === 0 || !may("metadata", context)) return kept;
  if (entries.length > MAX_METADATA_KEYS) context.deny("metadata", `more than ${MAX_METADATA_KEYS} keys`);
  for (const [key, entry] of entries.slice(0, MAX_METADATA_KEYS)) {
    if (!METADATA_KEY.test(key)) context.deny("metadata", "a key is none of [a-z0-9_.-]{1,64}");
    else {
      const problem = valueProblem(entry);
      if (problem === undefined) kept.set(`plugin:${context.pluginId}:${key}`, entry);
      else context.deny("metadata", problem);
    }
  }
  return kept;
}

const TOO_DEEP = `nested deeper than ${MAX_METADATA_DEPTH}`;
const TOO_LONG = `a value is longer than ${MAX_METADATA_VALUE_BYTES} bytes`;

/** The shape first: writing down what is too deep would exhaust the stack, and what is too large takes its time. */
function valueProblem(value: unknown): string | undefined {
  // Each value inside takes an octet of JSON at least.
  const shape = shapeProblem(value, MAX_METADATA_DEPTH, { left: MAX_METADATA_VALUE_BYTES });
  if (shape !== undefined) return shape;
  return utf8Length(JSON.stringify(value)) > MAX_METADATA_VALUE_BYTES ? TOO_LONG : undefined;
}

function shapeProblem(value: unknown, depth: number, values: { left: number }): string | undefined {
  if (values.left-- <= 0) return TOO_LONG;
  if (typeof value !== "object" || value === null) return undefined;
  if (depth === 0) return TOO_DEEP;
  for (const inner of Object.values(value)) {
    const problem = shapeProblem(inner, depth - 1, values);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
