/**
 * The mailbox as one session has been told of it. Sequence numbers mean this state and nothing newer, until the protocol
 * lets us announce the difference (RFC 3501 §5.2, §7.4.1). Holds a reference to the shared snapshot, never a copy. Pure;
 * `news.ts` tells the difference.
 */
import { InvalidState } from "../../core/errors.ts";
import type { FlagSets } from "../../core/flag-table.ts";
import type { MailboxSnapshot, SnapshotChunk } from "../../core/mailbox-snapshot.ts";
import type { OpenMailbox } from "../../core/ports/mailboxes.ts";
import type { FlagSet } from "../../core/ports/store.ts";
import type { Steps } from "../../core/steps.ts";
import { appendRange } from "./sequence-set.ts";

export interface Selected {
  readonly mailbox: OpenMailbox;
  /** Flags may be changed: SELECT, where a writer is. */
  readonly writable: boolean;
  /** The announced state. */
  view: MailboxSnapshot;
  /** UIDs that the last SEARCH with SAVE found (RFC 5182), ascending; some may be gone. */
  saved?: Uint32Array;
  /** What the last untagged FLAGS answer said, and of how much of which table. */
  flagsTold: { readonly flags: FlagSets; readonly keywords: number; readonly names: string };
}

/** Index ranges `start, end` (half-open), ascending. */
export interface ViewChange {
  /** In the old state. */
  readonly expunged: readonly number[];
  readonly added: number;
  /** In the new state: flags differ, or the MODSEQ, where that counts. */
  readonly flagged: readonly number[];
}

/**
 * Looks at nothing that both states share; a step looks at one chunk of each at most.
 * @param byModseq  flags that were changed and changed back count as changed
 * @throws {InvalidState} a UID appeared below a known one: sequence numbers cannot follow, the session must end
 */
export function* compareViews(
  old: MailboxSnapshot,
  next: MailboxSnapshot,
  byModseq: boolean,
): Steps<ViewChange> {
  const expunged: number[] = [];
  const flagged: number[] = [];
  const from = new Place(old);
  const to = new Place(next);
  while (!from.atEnd) {
    if (from.sharesChunk(to)) {
      from.skipChunk();
      to.skipChunk();
    } else if (!to.atEnd && from.uid === to.uid) {
      passCommon(from, to, byModseq, flagged);
      yield;
    } else if (!to.atEnd && to.uid < from.uid) {
      throw new InvalidState("imap view", "a message below a known UID", "ascending UIDs");
    } else {
      passExpunged(from, to, expunged);
      yield;
    }
  }
  return { expunged, added: next.count - to.index, flagged };
}

/** Goes on in both as long as they have the same messages, to the end of a chunk at most. */
function passCommon(from: Place, to: Place, byModseq: boolean, flagged: number[]): void {
  const [old, next] = [from.chunk, to.chunk];
  const [i, j] = [from.at, to.at];
  const most = Math.min(old.uids.length - i, next.uids.length - j);
  let n = 0;
  for (; n < most && old.uids[i + n] === next.uids[j + n]; n += 1) {
    // Sets are the same objects when the flags are the same, also after their table was made anew.
    const before = from.sets[old.flagIds[i + n] ?? 0];
    const isSame =
      before === to.sets[next.flagIds[j + n] ?? 0] &&
      (!byModseq || old.modseqs[i + n] === next.modseqs[j + n]);
    if (!isSame) appendRange(flagged, to.index + n, to.index + n + 1);
  }
  from.advance(n);
  to.advance(n);
}

/** Passes what is not there any more, to the end of the old chunk at most. */
function passExpunged(from: Place, to: Place, expunged: number[]): void {
  const { uids } = from.chunk;
  const beyond = to.atEnd ? Number.POSITIVE_INFINITY : to.uid;
  let n = 0;
  while (from.at + n < uids.length && (uids[from.at + n] ?? 0) < beyond) n += 1;
  appendRange(expunged, from.index, from.index + n);
  from.advance(n);
}

const NO_CHUNK = { uids: new Uint32Array(0), flagIds: new Uint32Array(0), modseqs: new Float64Array(0) };

/** Walks a snapshot message by message or chunk by chunk. */
class Place {
  readonly sets: readonly FlagSet[];
  readonly #snapshot: MailboxSnapshot;
  #number = 0;
  /** Of the message in its chunk. */
  at = 0;
  /** Of the message. */
  index = 0;

  constructor(snapshot: MailboxSnapshot) {
    this.#snapshot = snapshot;
    this.sets = snapshot.flags.sets;
  }

  get atEnd(): boolean {
    return this.#number >= this.#snapshot.chunks.length;
  }

  get chunk(): Pick<SnapshotChunk, "uids" | "flagIds" | "modseqs"> {
    return this.#snapshot.chunks[this.#number] ?? NO_CHUNK;
  }

  get uid(): number {
    return this.chunk.uids[this.at] ?? 0;
  }

  /** Both stand at the begin of a chunk, and it is the same one. */
  sharesChunk(other: Place): boolean {
    return this.at === 0 && other.at === 0 && this.chunk === other.chunk;
  }

  /** @param count  messages, not beyond the end of the chunk */
  advance(count: number): void {
    this.index += count;
    this.at += count;
    if (this.at < this.chunk.uids.length) return;
    this.#number += 1;
    this.at = 0;
  }

  skipChunk(): void {
    this.#number += 1;
    this.index = this.#snapshot.starts[this.#number] ?? 0;
  }
}
