/**
 * Decides search keys from what is known of a message so far. Three values: true, false, and undefined for "needs more";
 * so flags decide without a row, rows without a header, headers without the body. Pure. Source: RFC 3501 §6.4.4, RFC 5032,
 * RFC 7162 §3.1.5.
 */
import { lastUid, type MailboxSnapshot, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import type { HeaderFacts, HeaderKey } from "./header-text.ts";
import type { SearchKey } from "./parse-search.ts";
import { hasObjectId } from "./search-object-id.ts";
import { isSaved, type Ranges, rangesHave, resolveSet } from "./sequence-set.ts";

const DAY_MS = 86_400_000;
const NO_RANGES: Ranges = new Uint32Array(0);

export type ContentKey = Extract<SearchKey, { kind: "content" }>;
/** Decided by the text of a message; with an empty text by what it has at all. */
export type TextKey = Extract<SearchKey, { kind: "content" | "header" }>;
type ViewKey = Extract<SearchKey, { kind: "flag" | "keyword" | "sequence" | "uid" | "modseq" }>;

/** What is known of one message; more fields decide more keys. */
export interface SearchFacts {
  /** Position in the view. */
  readonly index: number;
  /** True of a key whose text the message cannot hold. */
  readonly lacks?: (key: TextKey) => boolean;
  readonly row?: MessageRow;
  readonly header?: HeaderFacts;
  /** The content keys that match. */
  readonly content?: ReadonlySet<ContentKey>;
}

/** One search over one view. */
export class SearchProgram {
  readonly key: SearchKey;
  readonly contentKeys: readonly ContentKey[];
  readonly headerKeys: readonly HeaderKey[];
  /** What an index may decide: with a text to look for. */
  readonly textKeys: readonly TextKey[];
  readonly asksModseq: boolean;
  readonly needsHeader: boolean;
  readonly needsObjectIds: boolean;
  /** Keys in the tree. */
  readonly size: number;
  readonly #messages: SnapshotCursor;
  readonly #nowMs: number;
  readonly #ranges = new Map<SearchKey, Ranges>();
  /** Keywords in lower case by the id of a flag set: few sets, many messages. */
  readonly #keywords = new Map<number, ReadonlySet<string>>();

  /**
   * @param saved  what `$` names
   * @param nowMs  for OLDER and YOUNGER, milliseconds since 1970
   */
  constructor(key: SearchKey, view: MailboxSnapshot, saved: Ranges, nowMs: number) {
    this.key = key;
    this.#messages = new SnapshotCursor(view);
    this.#nowMs = nowMs;
    const keys = [...flatten(key)];
    this.size = keys.length;
    this.contentKeys = keys.filter(each => each.kind === "content");
    this.headerKeys = keys.filter(each => each.kind === "header");
    this.textKeys = keys.filter(
      (each): each is TextKey => (each.kind === "content" || each.kind === "header") && each.text !== "",
    );
    this.asksModseq = keys.some(each => each.kind === "modseq");
    this.needsObjectIds = keys.some(each => each.kind === "objectId");
    this.needsHeader = keys.some(
      each => each.kind === "header" || each.kind === "sent" || (each.kind === "content" && each.withHeader),
    );
    for (const each of keys) {
      if (each.kind === "uid") {
        this.#ranges.set(each, isSaved(each.set) ? saved : resolveSet(each.set, lastUid(view)));
      }
      if (each.kind === "sequence") this.#ranges.set(each, resolveSet(each.set, view.count));
    }
  }

  /** @returns undefined when the facts are not enough */
  matches(facts: SearchFacts): boolean | undefined {
    return this.#evaluate(this.key, facts);
  }

  #evaluate(key: SearchKey, facts: SearchFacts): boolean | undefined {
    switch (key.kind) {
      case "constant":
        return key.value;
      case "not": {
        const value = this.#evaluate(key.key, facts);
        return value === undefined ? undefined : !value;
      }
      case "and":
        return this.#combine(key.keys, facts, false);
      case "or":
        return this.#combine(key.keys, facts, true);
      case "flag":
      case "keyword":
      case "sequence":
      case "uid":
      case "modseq":
        return this.#inView(key, facts.index);
      case "received":
      case "size":
      case "age":
      case "objectId":
        return facts.row === undefined ? undefined : this.#inRow(key, facts.row);
      case "sent":
        return facts.header === undefined ? undefined : sentMatches(key, facts.header);
      case "header":
        if (facts.lacks?.(key) === true) return false;
        return facts.header?.found.has(key);
      case "content":
        if (key.text === "") return true;
        return facts.lacks?.(key) === true ? false : facts.content?.has(key);
    }
  }

  /** @param decisive  the value that decides at once: false for AND, true for OR */
  #combine(keys: readonly SearchKey[], facts: SearchFacts, decisive: boolean): boolean | undefined {
    let unknown = false;
    for (const key of keys) {
      const value = this.#evaluate(key, facts);
      if (value === decisive) return decisive;
      if (value === undefined) unknown = true;
    }
    return unknown ? undefined : !decisive;
  }

  #inView(key: ViewKey, index: number): boolean {
    switch (key.kind) {
      case "flag":
        return ((this.#messages.flagSet(index).system & key.bit) !== 0) === key.on;
      case "keyword":
        return this.#keywordsOf(index).has(key.word) === key.on;
      case "sequence":
        return rangesHave(this.#ranges.get(key) ?? NO_RANGES, index + 1);
      case "uid":
        return rangesHave(this.#ranges.get(key) ?? NO_RANGES, this.#messages.uid(index));
      case "modseq":
        return this.#messages.modseq(index) >= key.from;
    }
  }

  #keywordsOf(index: number): ReadonlySet<string> {
    const id = this.#messages.flagId(index);
    let words = this.#keywords.get(id);
    if (words === undefined) {
      words = new Set(this.#messages.flagSet(index).keywords.map(word => word.toLowerCase()));
      this.#keywords.set(id, words);
    }
    return words;
  }

  #inRow(
    key: Extract<SearchKey, { kind: "received" | "size" | "age" | "objectId" }>,
    row: MessageRow,
  ): boolean {
    switch (key.kind) {
      case "objectId":
        return hasObjectId(key, row);
      case "received":
        return compareDay(Math.floor(row.internalDate.getTime() / DAY_MS), key.when, key.day);
      case "size":
        return key.larger ? row.sizeBytes > key.bytes : row.sizeBytes < key.bytes;
      case "age": {
        const within = this.#nowMs - row.internalDate.getTime() <= key.seconds * 1000;
        return key.older ? !within : within;
      }
    }
  }
}

function sentMatches(key: Extract<SearchKey, { kind: "sent" }>, header: HeaderFacts): boolean {
  const day = header.sentDay;
  return day !== undefined && compareDay(day, key.when, key.day);
}

function compareDay(day: number, when: "before" | "on" | "since", wanted: number): boolean {
  if (when === "on") return day === wanted;
  return when === "before" ? day < wanted : day >= wanted;
}

function* flatten(key: SearchKey): Iterable<SearchKey> {
  yield key;
  if (key.kind === "not") yield* flatten(key.key);
  if (key.kind === "and" || key.kind === "or") for (const each of key.keys) yield* flatten(each);
}
