/**
 * Sequence sets (`1:*,7`): parsed form, and what they mean for one mailbox. Pure; used by FETCH, SEARCH and STORE. A line has half a
 * million numbers (imapc sends no ranges): they are kept in flat arrays, and whatever looks at all of them does it in steps.
 * Source: RFC 3501 §9 (sequence-set).
 */
import {
  lastUid,
  type MailboxSnapshot,
  SnapshotCursor,
  UidSeeker,
  uidsBetween,
} from "../../core/mailbox-snapshot.ts";
import type { Steps } from "../../core/steps.ts";
import { sortedIndexes } from "./sorted-indexes.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

/** Pairs `from, to` inclusive, ascending, not touching each other. */
export type Ranges = Uint32Array;

/** A set in order: what a line names half a million times in any order is put together while it is read. */
export interface SequenceSet {
  /** What stands in pairs without `*`. */
  readonly ranges: Ranges;
  /** Undefined: no `*`. */
  readonly star: Star | undefined;
}

/** What pairs with `*` name: it, and all between it and the lowest and the highest of the numbers at their other ends. */
interface Star {
  readonly lowest: number;
  readonly highest: number;
}

const MAX_NUMBER = 4_294_967_295;
/** `*` alone: nothing is below or above it. */
const STAR_ALONE: Star = { lowest: MAX_NUMBER, highest: 0 };
/** What {@link SetReader} reads for `*`. No message can have this number. */
const STAR = 0;
/** Numbers, ranges or UIDs between two steps. */
const STEP = 4096;

/** `$`: the messages that a search saved, whatever their numbers (RFC 5182 §2.1). */
export const SAVED: SequenceSet = { ranges: new Uint32Array(0), star: undefined };

export function isSaved(set: SequenceSet): boolean {
  return set === SAVED;
}

/** @param uids  ascending; undefined: nothing was saved */
export function* savedRanges(uids: Uint32Array = new Uint32Array(0)): Steps<Ranges> {
  const list = new RangeList();
  for (let i = 0; i < uids.length; i += 1) {
    if (i % STEP === STEP - 1) yield;
    const uid = uids[i] ?? 0;
    list.add(uid, uid);
  }
  return list.ranges;
}

/** @returns index ranges of `view`, half-open; what is gone is passed over */
export function* indexesOfSaved(
  uids: Uint32Array = new Uint32Array(0),
  view: MailboxSnapshot,
): Steps<readonly number[]> {
  const indexes: number[] = [];
  const messages = new SnapshotCursor(view);
  const seeker = new UidSeeker(view);
  for (let i = 0; i < uids.length; i += 1) {
    if (i % STEP === STEP - 1) yield;
    const uid = uids[i] ?? 0;
    const index = seeker.index(uid);
    if (messages.uid(index) === uid) appendRange(indexes, index, index + 1);
  }
  return indexes;
}

/**
 * Parse a whole sequence set.
 * @param text  octets
 * @throws {ImapSyntaxError}
 */
export function* parseSequenceSet(text: Uint8Array): Steps<SequenceSet> {
  const reader = new SetReader(text);
  const list = new RangeList();
  let star: Star | undefined;
  for (let count = 1; ; count += 1) {
    if (count % STEP === 0) yield;
    const a = reader.number();
    const b = reader.skip(COLON) ? reader.number() : a;
    if (a !== STAR && b !== STAR) list.add(Math.min(a, b), Math.max(a, b));
    else star = withStar(star ?? STAR_ALONE, Math.max(a, b));
    if (reader.atEnd) return { ranges: list.ascending ? list.ranges : yield* inOrder(list.ranges), star };
    if (!reader.skip(COMMA)) throw new ImapSyntaxError("Invalid sequence set");
  }
}

/** @param number  at the other end; {@link STAR}: none */
function withStar({ lowest, highest }: Star, number: number): Star {
  if (number === STAR) return { lowest, highest };
  return { lowest: Math.min(lowest, number), highest: Math.max(highest, number) };
}

const COLON = 0x3a;
const COMMA = 0x2c;
const ASTERISK = 0x2a;

class SetReader {
  readonly #text: Uint8Array;
  #at = 0;

  constructor(text: Uint8Array) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at === this.#text.length;
  }

  skip(octet: number): boolean {
    if (this.#text[this.#at] !== octet) return false;
    this.#at += 1;
    return true;
  }

  /** @returns {@link STAR} for `*` */
  number(): number {
    if (this.skip(ASTERISK)) return STAR;
    const text = this.#text;
    let value = 0;
    for (; this.#at < text.length; this.#at += 1) {
      const digit = (text[this.#at] ?? 0) - 0x30;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (value > MAX_NUMBER) throw new ImapSyntaxError("Number in sequence set is too large");
    }
    if (value === 0) throw new ImapSyntaxError("Invalid number in sequence set");
    return value;
  }
}

/** A growing list of pairs; what touches the last one is put into it. */
class RangeList {
  #room = new Uint32Array(16);
  #used = 0;
  /** No range begins below one before it: these are {@link Ranges}. */
  ascending = true;

  /** A view of the list: nothing may be added afterwards. */
  get ranges(): Uint32Array {
    return this.#room.subarray(0, this.#used);
  }

  add(from: number, to: number): void {
    const last = this.#used - 1;
    const lastTo = this.#room[last] ?? 0;
    if (last > 0 && from < (this.#room[last - 1] ?? 0)) this.ascending = false;
    else if (last > 0 && from <= lastTo + 1) {
      this.#room[last] = Math.max(lastTo, to);
      return;
    }
    if (this.#used === this.#room.length) {
      const room = new Uint32Array(2 * this.#used);
      room.set(this.#room);
      this.#room = room;
    }
    this.#room[this.#used] = from;
    this.#room[this.#used + 1] = to;
    this.#used += 2;
  }
}

/** @param pairs  in any order */
function* inOrder(pairs: Uint32Array): Steps<Ranges> {
  const begins = new Float64Array(pairs.length / 2);
  for (let i = 0; i < begins.length; i += 1) begins[i] = pairs[2 * i] ?? 0;
  yield;
  const order = yield* sortedIndexes(begins);
  const merged = new RangeList();
  for (let i = 0; i < order.length; i += 1) {
    if (i % STEP === STEP - 1) yield;
    const at = 2 * (order[i] ?? 0);
    merged.add(pairs[at] ?? 0, pairs[at + 1] ?? 0);
  }
  return merged.ranges;
}

/**
 * Put `max` for `*`.
 * @param max  largest UID or sequence number of the mailbox; 0 when it is empty
 */
export function resolveSet({ ranges, star }: SequenceSet, max: number): Ranges {
  if (star === undefined) return ranges;
  const from = Math.min(star.lowest, max);
  const to = Math.max(star.highest, max);
  // Those that touch it go into it.
  const before = rangesBelow(ranges, from - 1);
  let behind = before;
  while (2 * behind < ranges.length && (ranges[2 * behind] ?? 0) <= to + 1) behind += 1;
  const joined = behind > before;
  const resolved = new Uint32Array(ranges.length - 2 * (behind - before) + 2);
  resolved.set(ranges.subarray(0, 2 * before));
  resolved[2 * before] = joined ? Math.min(from, ranges[2 * before] ?? 0) : from;
  resolved[2 * before + 1] = joined ? Math.max(to, ranges[2 * behind - 1] ?? 0) : to;
  resolved.set(ranges.subarray(2 * behind), 2 * before + 2);
  return resolved;
}

/** True when `value` lies in one of the ranges. */
export function rangesHave(ranges: Ranges, value: number): boolean {
  const at = 2 * rangesBelow(ranges, value);
  return at < ranges.length && (ranges[at] ?? 0) <= value;
}

/** Number of ranges that end below `value`. */
function rangesBelow(ranges: Ranges, value: number): number {
  let low = 0;
  let high = ranges.length / 2;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if ((ranges[2 * mid + 1] ?? 0) < value) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** @returns index ranges `start, end` (half-open) of `view` that the UID set names; UIDs that do not exist are passed over (RFC 3501 §6.4.8) */
export function* indexesOfUids(set: SequenceSet, view: MailboxSnapshot): Steps<readonly number[]> {
  const ranges = resolveSet(set, lastUid(view));
  const indexes: number[] = [];
  const seeker = new UidSeeker(view);
  for (let i = 0; i < ranges.length; i += 2) {
    if (i % STEP === STEP - 2) yield;
    const start = seeker.index(ranges[i] ?? 0);
    appendRange(indexes, start, seeker.index((ranges[i + 1] ?? 0) + 1));
  }
  return indexes;
}

/**
 * As {@link indexesOfUids} for sequence numbers.
 * @throws {ImapSyntaxError} a number beyond the last message (RFC 3501 §9, seq-number); `*` in an empty mailbox names nothing
 */
export function* indexesOfNumbers(set: SequenceSet, count: number): Steps<readonly number[]> {
  const highest = Math.max(set.ranges[set.ranges.length - 1] ?? 0, set.star?.highest ?? 0);
  if (highest > count && !(count === 0 && set.star !== undefined)) {
    throw new ImapSyntaxError("Message sequence number is beyond the last message");
  }
  const ranges = count === 0 ? [] : resolveSet(set, count);
  const indexes: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) {
    if (i % STEP === STEP - 2) yield;
    appendRange(indexes, (ranges[i] ?? 1) - 1, ranges[i + 1] ?? 0);
  }
  return indexes;
}

/** Add `start, end` (half-open) behind index ranges that are not beyond it. */
export function appendRange(indexes: number[], start: number, end: number): void {
  if (start >= end) return;
  if (indexes[indexes.length - 1] === start) indexes[indexes.length - 1] = end;
  else indexes.push(start, end);
}

/** Number of messages that index ranges name. */
export function countIndexes(indexes: readonly number[]): number {
  let count = 0;
  for (let i = 0; i < indexes.length; i += 2) count += (indexes[i + 1] ?? 0) - (indexes[i] ?? 0);
  return count;
}

/** The UIDs at index ranges. */
export function uidsAt(indexes: readonly number[], view: MailboxSnapshot): Uint32Array {
  if (indexes.length === 2) return uidsBetween(view, indexes[0] ?? 0, indexes[1] ?? 0);
  const picked = new Uint32Array(countIndexes(indexes));
  const messages = new SnapshotCursor(view);
  let at = 0;
  for (let i = 0; i < indexes.length; i += 2) {
    for (let index = indexes[i] ?? 0; index < (indexes[i + 1] ?? 0); index += 1) {
      picked[at] = messages.uid(index);
      at += 1;
    }
  }
  return picked;
}
