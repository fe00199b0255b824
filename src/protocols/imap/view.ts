/**
 * The mailbox as one session has been told of it. Sequence numbers mean this state and nothing newer, until the protocol
 * lets us announce the difference (RFC 3501 §5.2, §7.4.1). Holds a reference to the shared snapshot, never a copy. Pure;
 * `news.ts` tells the difference.
 */
import { InvalidState } from "../../core/errors.ts";
import type { FlagSets } from "../../core/flag-table.ts";
import type { MailboxSnapshot } from "../../core/mailbox-snapshot.ts";
import type { OpenMailbox } from "../../core/ports/mailboxes.ts";

export interface Selected {
  readonly mailbox: OpenMailbox;
  /** The announced state. */
  view: MailboxSnapshot;
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
      if (from.flags !== to.flags) flagged.push(to.index);
      from.step();
      to.step();
    } else if (!to.atEnd && to.uid < from.uid) {
      throw new InvalidState("imap view", "a message below a known UID", "ascending UIDs");
    } else {
      expunged.push(from.index + 1);
      from.step();
    }
  }
  return { expunged: expunged.reverse(), added: next.count - to.index, flagged };
}

/** Walks a snapshot message by message or chunk by chunk. */
class Place {
  readonly #snapshot: MailboxSnapshot;
  #number = 0;
  #at = 0;
  /** Of the message. */
  index = 0;

  constructor(snapshot: MailboxSnapshot) {
    this.#snapshot = snapshot;
  }

  get atEnd(): boolean {
    return this.#number >= this.#snapshot.chunks.length;
  }

  get uid(): number {
    return this.#chunk?.uids[this.#at] ?? 0;
  }

  /** The same object in both states when the flags are the same, also after the table was made anew. */
  get flags(): unknown {
    return this.#snapshot.flags.sets[this.#chunk?.flagIds[this.#at] ?? 0];
  }

  get #chunk() {
    return this.#snapshot.chunks[this.#number];
  }

  sharesChunk(other: Place): boolean {
    return this.#at === 0 && other.#at === 0 && this.#chunk === other.#chunk;
  }

  step(): void {
    this.index += 1;
    this.#at += 1;
    if (this.#at < (this.#chunk?.uids.length ?? 0)) return;
    this.#number += 1;
    this.#at = 0;
  }

  skipChunk(): void {
    this.#number += 1;
    this.index = this.#snapshot.starts[this.#number] ?? 0;
  }
}
