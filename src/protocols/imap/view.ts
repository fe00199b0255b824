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

export interface Selected {
  readonly mailbox: OpenMailbox;
  /** The announced state. */
  view: MailboxSnapshot;
  /** UIDs that the last SEARCH with SAVE found (RFC 5182), ascending; some may be gone. */
  saved?: Uint32Array;
  /** What the last untagged FLAGS answer said, and of how much of which table. */
  flagsTold: { readonly flags: FlagSets; readonly keywords: number; readonly names: string };
}

export interface ViewChange {
  /** Sequence numbers as they stand when each is announced: descending, so none shifts another. */
  readonly expunged: readonly number[];
  readonly added: number;
  /** Indexes in the new state whose flags differ. */
  readonly flagged: readonly number[];
}

/**
 * Looks at nothing that both states share.
 * @throws {InvalidState} a UID appeared below a known one: sequence numbers cannot follow, the session must end
 */
export function compareViews(old: MailboxSnapshot, next: MailboxSnapshot): ViewChange {
  const expunged: number[] = [];
  const flagged: number[] = [];
  const from = new Place(old);
  const to = new Place(next);
  while (!from.atEnd) {
    if (from.sharesChunk(to)) {
      from.skipChunk();
      to.skipChunk();
    } else if (!to.atEnd && from.uid === to.uid) {
      passCommon(from, to, flagged);
    } else if (!to.atEnd && to.uid < from.uid) {
      throw new InvalidState("imap view", "a message below a known UID", "ascending UIDs");
    } else {
      expunged.push(from.index + 1);
      from.advance(1);
    }
  }
  return { expunged: expunged.reverse(), added: next.count - to.index, flagged };
}

/** Goes on in both as long as they have the same messages, to the end of a chunk at most. */
function passCommon(from: Place, to: Place, flagged: number[]): void {
  const [old, next] = [from.chunk, to.chunk];
  const [i, j] = [from.at, to.at];
  const most = Math.min(old.uids.length - i, next.uids.length - j);
  let n = 0;
  for (; n < most && old.uids[i + n] === next.uids[j + n]; n += 1) {
    // Sets are the same objects when the flags are the same, also after their table was made anew.
    const before = from.sets[old.flagIds[i + n] ?? 0];
    if (before !== to.sets[next.flagIds[j + n] ?? 0]) flagged.push(to.index + n);
  }
  from.advance(n);
  to.advance(n);
}

const NO_CHUNK = { uids: new Uint32Array(0), flagIds: new Uint32Array(0) };

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

  get chunk(): Pick<SnapshotChunk, "uids" | "flagIds"> {
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
