/**
 * Immutable states of one mailbox, packed and cut into chunks: 16 octets a message, and what a change does not touch is the same
 * object in the next state. Index i (0-based) is sequence number i + 1. Pure; `mailbox-delta.ts` makes them.
 */
import type { FlagSets } from "./flag-table.ts";
import type { MailboxId } from "./ids.ts";
import type { FlagSet } from "./ports/store.ts";

/** Messages in one chunk: what is copied when one of them changes. */
export const CHUNK_MESSAGES = 4096;
const MESSAGE_OCTETS = 16;
/** The objects around the numbers of a chunk. */
const CHUNK_OCTETS = 600;

/** Some messages that follow each other, at least one. Never changed: `===` means that nothing in it changed. */
export interface SnapshotChunk {
  /** Ascending. */
  readonly uids: Uint32Array;
  /** One per UID, into {@link FlagSets.sets}. */
  readonly flagIds: Uint32Array;
  /** One per UID; exact up to 2^53. */
  readonly modseqs: Float64Array;
  readonly maxModseq: number;
  /** Index in the chunk of the first message without \Seen; -1: none. */
  readonly firstUnseen: number;
}

export interface MailboxIdentity {
  readonly mailboxId: MailboxId;
  readonly uidValidity: number;
}

/** One state of a mailbox, shared by all sessions that saw it. */
export interface MailboxSnapshot extends MailboxIdentity {
  readonly uidNext: number;
  readonly highestModseq: number;
  readonly count: number;
  readonly chunks: readonly SnapshotChunk[];
  /** Index of each chunk's first message, and `count` at the end. */
  readonly starts: Uint32Array;
  /** The same object as long as ids mean the same. Sets themselves stay the same objects for the life of the mailbox's state. */
  readonly flags: FlagSets;
}

const NO_FLAGS: FlagSet = { system: 0, keywords: [] };
const NO_CHUNK: SnapshotChunk = {
  uids: new Uint32Array(0),
  flagIds: new Uint32Array(0),
  modseqs: new Float64Array(0),
  maxModseq: 0,
  firstUnseen: -1,
};

/** Reads messages by index, quickest in order: it stays in its chunk. Beyond the ends everything is 0 or empty. */
export class SnapshotCursor {
  readonly #snapshot: MailboxSnapshot;
  #chunk = NO_CHUNK;
  #start = 0;
  #end = 0;

  constructor(snapshot: MailboxSnapshot) {
    this.#snapshot = snapshot;
  }

  uid(index: number): number {
    return this.#at(index).uids[index - this.#start] ?? 0;
  }

  /** Into the snapshot's `flags.sets`. */
  flagId(index: number): number {
    return this.#at(index).flagIds[index - this.#start] ?? 0;
  }

  flagSet(index: number): FlagSet {
    return this.#snapshot.flags.sets[this.flagId(index)] ?? NO_FLAGS;
  }

  modseq(index: number): number {
    return this.#at(index).modseqs[index - this.#start] ?? 0;
  }

  #at(index: number): SnapshotChunk {
    if (index >= this.#start && index < this.#end) return this.#chunk;
    const { starts, chunks } = this.#snapshot;
    const number = upperBound(starts, index) - 1;
    this.#chunk = chunks[number] ?? NO_CHUNK;
    this.#start = starts[number] ?? 0;
    this.#end = starts[number + 1] ?? 0;
    return this.#chunk;
  }
}

export function uidAt(snapshot: MailboxSnapshot, index: number): number {
  return new SnapshotCursor(snapshot).uid(index);
}

export function flagSetAt(snapshot: MailboxSnapshot, index: number): FlagSet {
  return new SnapshotCursor(snapshot).flagSet(index);
}

export function modseqAt(snapshot: MailboxSnapshot, index: number): number {
  return new SnapshotCursor(snapshot).modseq(index);
}

/** Memory that a state takes that shares nothing with another, about; its flag sets apart. */
export function octetsOf({ count, chunks }: MailboxSnapshot): number {
  return MESSAGE_OCTETS * count + CHUNK_OCTETS * (chunks.length + 1);
}

/** @returns 0 when there is no message */
export function lastUid(snapshot: MailboxSnapshot): number {
  return snapshot.chunks.at(-1)?.uids.at(-1) ?? 0;
}

/** @returns index of the first message whose UID is at least `uid`; `count` when there is none */
export function indexOfUid(snapshot: MailboxSnapshot, uid: number): number {
  const { chunks, starts } = snapshot;
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((chunks[middle]?.uids.at(-1) ?? 0) < uid) low = middle + 1;
    else high = middle;
  }
  return (starts[low] ?? 0) + lowerBound(chunks[low]?.uids ?? NO_CHUNK.uids, uid);
}

/** @returns index of the first message without \Seen, or undefined */
export function firstUnseen(snapshot: MailboxSnapshot): number | undefined {
  const number = snapshot.chunks.findIndex(chunk => chunk.firstUnseen >= 0);
  const chunk = snapshot.chunks[number];
  return chunk === undefined ? undefined : (snapshot.starts[number] ?? 0) + chunk.firstUnseen;
}

/** As {@link indexOfUid} for UIDs that ascend, of which a client may name hundreds of thousands: it goes on from where it is. */
export class UidSeeker {
  readonly #snapshot: MailboxSnapshot;
  #number = 0;
  /** In the chunk. */
  #at = 0;

  constructor(snapshot: MailboxSnapshot) {
    this.#snapshot = snapshot;
  }

  /** @param uid  not below the one before */
  index(uid: number): number {
    const { chunks, starts } = this.#snapshot;
    let uids = chunks[this.#number]?.uids ?? NO_CHUNK.uids;
    while (this.#number < chunks.length && (uids[uids.length - 1] ?? 0) < uid) {
      this.#number += 1;
      this.#at = 0;
      uids = chunks[this.#number]?.uids ?? NO_CHUNK.uids;
    }
    // Most often it is one of the next two.
    if ((uids[this.#at] ?? uid) < uid) this.#at += 1;
    if ((uids[this.#at] ?? uid) < uid) this.#at = lowerBound(uids, uid, this.#at);
    return (starts[this.#number] ?? 0) + this.#at;
  }
}

/** The UIDs at [start, end); of one chunk without copying. */
export function uidsBetween(snapshot: MailboxSnapshot, start: number, end: number): Uint32Array {
  const { chunks, starts } = snapshot;
  const picked: Uint32Array[] = [];
  for (let number = upperBound(starts, start) - 1; (starts[number] ?? end) < end; number += 1) {
    const first = starts[number] ?? 0;
    const { uids } = chunks[number] ?? NO_CHUNK;
    picked.push(uids.subarray(Math.max(0, start - first), end - first));
  }
  const [only] = picked;
  return picked.length === 1 && only !== undefined ? only : joinUids(picked);
}

function joinUids(parts: readonly Uint32Array[]): Uint32Array {
  const joined = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** First index in `sorted` from `from` on whose value is at least `value`; its length when there is none. */
export function lowerBound(sorted: Uint32Array, value: number, from = 0): number {
  let low = from;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function upperBound(sorted: Uint32Array, value: number): number {
  return lowerBound(sorted, value + 1);
}
