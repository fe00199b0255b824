/**
 * Decides search keys from what is known of a message so far. Three values: true, false, and undefined for "needs more";
 * so flags decide without a row, rows without a header, headers without the body. Pure. Source: RFC 3501 §6.4.4, RFC 5032.
 */
import { lastUid, type MailboxSnapshot, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import type { HeaderText } from "./header-text.ts";
import type { SearchKey } from "./parse-search.ts";
import { hasObjectId } from "./search-object-id.ts";
import { type Ranges, rangesHave, resolveSet } from "./sequence-set.ts";

const DAY_MS = 86_400_000;

export type ContentKey = Extract<SearchKey, { kind: "content" }>;

/** What is known of one message; more fields decide more keys. */
export interface SearchFacts {
  /** Position in the view. */
  readonly index: number;
  readonly row?: MessageRow;
  readonly header?: HeaderText;
  /** The content keys that match. */
  readonly content?: ReadonlySet<ContentKey>;
}

/** One search over one view. */
export class SearchProgram {
  readonly key: SearchKey;
  readonly contentKeys: readonly ContentKey[];
  readonly needsHeader: boolean;
  readonly needsObjectIds: boolean;
  /** Keys in the tree. */
  readonly size: number;
  readonly #messages: SnapshotCursor;
  readonly #nowMs: number;
  readonly #ranges = new Map<SearchKey, Ranges>();

  /** @param nowMs  for OLDER and YOUNGER, milliseconds since 1970 */
  constructor(key: SearchKey, view: MailboxSnapshot, nowMs: number) {
    this.key = key;
    this.#messages = new SnapshotCursor(view);
    this.#nowMs = nowMs;
    const keys = [...flatten(key)];
    this.size = keys.length;
    this.contentKeys = keys.filter(each => each.kind === "content");
    this.needsObjectIds = keys.some(each => each.kind === "objectId");
    this.needsHeader = keys.some(
      each => each.kind === "header" || each.kind === "sent" || (each.kind === "content" && each.withHeader),
    );
    for (const each of keys) {
      if (each.kind === "uid") this.#ranges.set(each, resolveSet(each.set, lastUid(view)));
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
        return this.#inView(key, facts.index);
      case "received":
      case "size":
      case "age":
      case "objectId":
        return facts.row === undefined ? undefined : this.#inRow(key, facts.row);
      case "sent":
      case "header":
        return facts.header === undefined ? undefined : inHeader(key, facts.header);
      case "content":
        return key.text === "" ? true : facts.content?.has(key);
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

  #inView(
    key: Extract<SearchKey, { kind: "flag" | "keyword" | "sequence" | "uid" }>,
    index: number,
  ): boolean {
    switch (key.kind) {
      case "flag":
        return ((this.#messages.flagSet(index).system & key.bit) !== 0) === key.on;
      case "keyword":
        return (
          this.#messages.flagSet(index).keywords.some(word => word.toLowerCase() === key.word) === key.on
        );
      case "sequence":
        return rangesHave(this.#ranges.get(key) ?? [], index + 1);
      case "uid":
        return rangesHave(this.#ranges.get(key) ?? [], this.#messages.uid(index));
    }
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

function inHeader(key: Extract<SearchKey, { kind: "sent" | "header" }>, header: HeaderText): boolean {
  if (key.kind === "header") return header.fieldContains(key.field, key.text);
  const day = header.sentDay();
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
