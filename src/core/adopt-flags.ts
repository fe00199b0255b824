/**
 * An older state of a mailbox with the flags of a newer one: for a session that may be told of flags, but not yet of messages that
 * came and went. What both states share is not looked at. Pure.
 */
import type { FlagSets } from "./flag-table.ts";
import { sealed } from "./mailbox-delta.ts";
import type { MailboxSnapshot, SnapshotChunk } from "./mailbox-snapshot.ts";
import type { FlagSet } from "./ports/store.ts";
import type { Steps } from "./steps.ts";

export interface AdoptedFlags {
  /** The messages of the older state; the newer one itself where they are the same. */
  readonly state: MailboxSnapshot;
  /** Indexes whose flags, or MODSEQs where they count, differ from those of the older state, ascending. */
  readonly changed: readonly number[];
}

/**
 * A step looks at one chunk.
 * @param next      of the same UIDVALIDITY
 * @param byModseq  flags that were changed and changed back count as changed
 */
export function* adoptFlags(
  old: MailboxSnapshot,
  next: MailboxSnapshot,
  byModseq: boolean,
): Steps<AdoptedFlags> {
  if (old === next) return { state: old, changed: [] };
  const chunks: SnapshotChunk[] = [];
  const changed: number[] = [];
  const from = new Reader(old, next);
  for (const [number, chunk] of old.chunks.entries()) {
    const taken = from.take(chunk);
    chunks.push(taken);
    if (taken === chunk) continue;
    const first = old.starts[number] ?? 0;
    for (const at of changedIn([chunk, old.flags], [taken, from.flags], byModseq)) changed.push(first + at);
    yield;
  }
  const isWhole =
    chunks.length === next.chunks.length && chunks.every((chunk, i) => chunk === next.chunks[i]);
  // As far as the newer MODSEQ not all is known: expunges below it are not.
  return { state: isWhole ? next : { ...old, chunks, flags: from.flags }, changed };
}

type Side = readonly [chunk: SnapshotChunk, flags: FlagSets];

function* changedIn([before, old]: Side, [after, next]: Side, byModseq: boolean): Iterable<number> {
  for (let i = 0; i < before.uids.length; i += 1) {
    // Sets are the same objects when the flags are the same, also after their table was made anew.
    const isSame = old.sets[before.flagIds[i] ?? 0] === next.sets[after.flagIds[i] ?? 0];
    if (!isSame || (byModseq && before.modseqs[i] !== after.modseqs[i])) yield i;
  }
}

/** Goes through the newer state beside the older one. */
class Reader {
  readonly #old: MailboxSnapshot;
  readonly #next: MailboxSnapshot;
  #number = 0;
  #at = 0;
  /** Of the newer state, and of messages that are gone: a table that was made anew may not have theirs. */
  flags: FlagSets;
  #own: FlagSet[] | undefined;
  #ids: Map<FlagSet, number> | undefined;

  constructor(old: MailboxSnapshot, next: MailboxSnapshot) {
    this.#old = old;
    this.#next = next;
    this.flags = next.flags;
  }

  /** @returns the messages of `chunk`, with what the newer state knows of them */
  take(chunk: SnapshotChunk): SnapshotChunk {
    const here = this.#next.chunks[this.#number];
    if (this.#at === 0 && here !== undefined && (here === chunk || here.uids === chunk.uids)) {
      this.#number += 1;
      return here;
    }
    return this.#merged(chunk);
  }

  #merged({ uids, flagIds: oldIds, modseqs: oldModseqs }: SnapshotChunk): SnapshotChunk {
    const flagIds = new Uint32Array(uids.length);
    const modseqs = oldModseqs.slice();
    for (const [i, uid] of uids.entries()) {
      const place = this.#find(uid);
      flagIds[i] = place?.id ?? this.#idOfGone(oldIds[i] ?? 0);
      if (place !== undefined) modseqs[i] = place.modseq;
    }
    return sealed({ uids, flagIds, modseqs }, this.flags);
  }

  /** UIDs ascend from call to call. */
  #find(uid: number): { readonly id: number; readonly modseq: number } | undefined {
    for (;;) {
      const chunk = this.#next.chunks[this.#number];
      if (chunk === undefined) return undefined;
      const found = chunk.uids[this.#at];
      if (found !== undefined && found >= uid) {
        if (found > uid) return undefined;
        const place = { id: chunk.flagIds[this.#at] ?? 0, modseq: chunk.modseqs[this.#at] ?? 0 };
        this.#step(chunk);
        return place;
      }
      this.#step(chunk);
    }
  }

  #step(chunk: SnapshotChunk): void {
    this.#at += 1;
    if (this.#at < chunk.uids.length) return;
    this.#number += 1;
    this.#at = 0;
  }

  #idOfGone(id: number): number {
    const set = this.#old.flags.sets[id];
    if (this.#old.flags === this.#next.flags || set === undefined) return id;
    this.#ids ??= new Map(this.#next.flags.sets.map((one, at) => [one, at]));
    const known = this.#ids.get(set);
    if (known !== undefined) return known;
    const own = this.#own ?? [...this.#next.flags.sets];
    this.#own = own;
    this.flags = { sets: own, keywords: this.#next.flags.keywords };
    this.#ids.set(set, own.push(set) - 1);
    return own.length - 1;
  }
}
