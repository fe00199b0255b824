/**
 * Sequence sets (`1:*,7`): parsed form, and what they mean for one mailbox. Pure; used by FETCH, SEARCH and STORE.
 * Lists of a hundred thousand single numbers (imapc sends no ranges) stay flat arrays. Source: RFC 3501 §9 (sequence-set).
 */
import {
  indexOfUid,
  lastUid,
  type MailboxSnapshot,
  SnapshotCursor,
  uidsBetween,
} from "../../core/mailbox-snapshot.ts";
import { UidWalk } from "../../core/uid-walk.ts";
import { ImapSyntaxError } from "./syntax-error.ts";

/** `*`: the largest number in use. No message can have this number, it is below none. */
export const STAR = 0;
const MAX_NUMBER = 4_294_967_295;

/** Pairs `from, to` as written; {@link STAR} stands for `*`. Empty in {@link SAVED} only. */
export interface SequenceSet {
  readonly pairs: readonly number[];
}

/** Pairs `from, to` inclusive, ascending, not touching each other. */
export type Ranges = readonly number[];

/** `$`: the messages that a search saved, whatever their numbers (RFC 5182 §2.1). */
export const SAVED: SequenceSet = { pairs: [] };

export function isSaved(set: SequenceSet): boolean {
  return set === SAVED;
}

/** @param uids  ascending; undefined: nothing was saved */
export function savedRanges(uids: Uint32Array | undefined): Ranges {
  const ranges: number[] = [];
  for (const uid of uids ?? []) appendUid(ranges, uid);
  return ranges;
}

/** Add a UID or number above those of `ranges`. */
export function appendUid(ranges: number[], uid: number): void {
  if (ranges[ranges.length - 1] === uid - 1) ranges[ranges.length - 1] = uid;
  else ranges.push(uid, uid);
}

/** @returns index ranges of `view`, half-open; what is gone is passed over */
export function indexesOfSaved(uids: Uint32Array | undefined, view: MailboxSnapshot): readonly number[] {
  const indexes: number[] = [];
  const messages = new SnapshotCursor(view);
  let index = indexOfUid(view, uids?.[0] ?? 0);
  for (const uid of uids ?? []) {
    while (index < view.count && messages.uid(index) < uid) index += 1;
    if (index < view.count && messages.uid(index) === uid) appendRange(indexes, index, index + 1);
  }
  return indexes;
}

/**
 * Parse a whole sequence set.
 * @param text  ASCII
 * @throws {ImapSyntaxError}
 */
export function parseSequenceSet(text: string): SequenceSet {
  const pairs: number[] = [];
  let at = 0;
  for (;;) {
    const from = readNumber(text, at);
    at = from.next;
    let to = from.value;
    if (text.charCodeAt(at) === 0x3a) {
      const end = readNumber(text, at + 1);
      at = end.next;
      to = end.value;
    }
    pairs.push(from.value, to);
    if (at === text.length) return { pairs };
    if (text.charCodeAt(at) !== 0x2c) throw new ImapSyntaxError("Invalid sequence set");
    at += 1;
  }
}

function readNumber(text: string, at: number): { value: number; next: number } {
  if (text.charCodeAt(at) === 0x2a) return { value: STAR, next: at + 1 };
  let value = 0;
  let next = at;
  for (; next < text.length; next += 1) {
    const digit = text.charCodeAt(next) - 0x30;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
    if (value > MAX_NUMBER) throw new ImapSyntaxError("Number in sequence set is too large");
  }
  if (value === 0) throw new ImapSyntaxError("Invalid number in sequence set");
  return { value, next };
}

/**
 * Put `max` for `*`, order each pair, sort and merge.
 * @param max  largest UID or sequence number of the mailbox; 0 when it is empty
 */
export function resolveSet(set: SequenceSet, max: number): Ranges {
  const { pairs } = set;
  const ordered: number[] = [];
  let ascending = true;
  for (let i = 0; i < pairs.length; i += 2) {
    const a = pairs[i] === STAR ? max : (pairs[i] ?? 0);
    const b = pairs[i + 1] === STAR ? max : (pairs[i + 1] ?? 0);
    const from = Math.min(a, b);
    if (from < (ordered[ordered.length - 2] ?? 0)) ascending = false;
    ordered.push(from, Math.max(a, b));
  }
  return merge(ascending ? ordered : sortPairs(ordered));
}

/** Half a million pairs fit into one command: two sorts of bare numbers take a tenth of the time that one of pairs takes. */
function sortPairs(flat: readonly number[]): Ranges {
  const froms = new Uint32Array(flat.length / 2);
  const tos = new Uint32Array(flat.length / 2);
  for (let i = 0; i < froms.length; i += 1) {
    froms[i] = flat[2 * i] ?? 0;
    tos[i] = flat[2 * i + 1] ?? 0;
  }
  return mergeEnds(froms.sort(), tos.sort());
}

/** Which start belongs to which end does not matter for what they cover together. Both ascend. */
function mergeEnds(froms: Uint32Array, tos: Uint32Array): Ranges {
  const sorted: number[] = [];
  let open = 0;
  let next = 0;
  for (const to of tos) {
    for (; next < froms.length && (froms[next] ?? 0) <= to; next += 1) {
      if (open === 0) sorted.push(froms[next] ?? 0);
      open += 1;
    }
    open -= 1;
    if (open === 0) sorted.push(to);
  }
  return sorted;
}

function merge(sorted: readonly number[]): Ranges {
  const merged: number[] = [];
  for (let i = 0; i < sorted.length; i += 2) {
    const from = sorted[i] ?? 0;
    const to = sorted[i + 1] ?? 0;
    const last = merged.length - 1;
    const lastTo = merged[last];
    if (lastTo !== undefined && from <= lastTo + 1) merged[last] = Math.max(lastTo, to);
    else merged.push(from, to);
  }
  return merged;
}

/** True when `value` lies in one of the ranges. */
export function rangesHave(ranges: Ranges, value: number): boolean {
  let low = 0;
  let high = ranges.length / 2;
  while (low < high) {
    const mid = (low + high) >>> 1;
    if ((ranges[2 * mid + 1] ?? 0) < value) low = mid + 1;
    else high = mid;
  }
  return 2 * low < ranges.length && (ranges[2 * low] ?? 0) <= value;
}

/** @returns index ranges `start, end` (half-open) of `view` that the UID set names; UIDs that do not exist are passed over (RFC 3501 §6.4.8) */
export function indexesOfUids(set: SequenceSet, view: MailboxSnapshot): readonly number[] {
  const ranges = resolveSet(set, lastUid(view));
  const indexes: number[] = [];
  const walk = new UidWalk(view);
  for (let i = 0; i < ranges.length; i += 2) {
    appendRange(indexes, walk.indexOf(ranges[i] ?? 0), walk.indexOf((ranges[i + 1] ?? 0) + 1));
  }
  return indexes;
}

/**
 * As {@link indexesOfUids} for sequence numbers.
 * @throws {ImapSyntaxError} a number beyond the last message (RFC 3501 §9, seq-number); `*` in an empty mailbox names nothing
 */
export function indexesOfNumbers(set: SequenceSet, count: number): readonly number[] {
  if (set.pairs.some(number => number > count) && !(count === 0 && set.pairs.includes(STAR))) {
    throw new ImapSyntaxError("Message sequence number is beyond the last message");
  }
  const ranges = count === 0 ? [] : resolveSet(set, count);
  const indexes: number[] = [];
  for (let i = 0; i < ranges.length; i += 2) appendRange(indexes, (ranges[i] ?? 1) - 1, ranges[i + 1] ?? 0);
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
