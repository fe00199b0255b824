/**
 * Looks up many ascending UIDs in one mailbox: each lookup goes on where the last one ended. `indexOfUid` begins anew each time, which
 * for a command with a hundred thousand UIDs (imapc sends such) holds up everybody for a fifth of a second. Pure.
 */
import { lowerBound, type MailboxSnapshot } from "./mailbox-snapshot.ts";

/** Messages that are passed one by one before a search begins. */
const STEPS = 4;
const NONE = new Uint32Array(0);

export class UidWalk {
  readonly #snapshot: MailboxSnapshot;
  #number = 0;
  #uids: Uint32Array;
  #at = 0;

  constructor(snapshot: MailboxSnapshot) {
    this.#snapshot = snapshot;
    this.#uids = snapshot.chunks[0]?.uids ?? NONE;
  }

  /**
   * @param uid  not below that of the lookup before
   * @returns    index of the first message whose UID is at least `uid`; `count` when there is none
   */
  indexOf(uid: number): number {
    const { chunks, starts, count } = this.#snapshot;
    while ((this.#uids[this.#uids.length - 1] ?? 0) < uid) {
      if (this.#number >= chunks.length) return count;
      this.#number += 1;
      this.#uids = chunks[this.#number]?.uids ?? NONE;
      this.#at = 0;
    }
    const uids = this.#uids;
    const near = Math.min(this.#at + STEPS, uids.length - 1);
    while (this.#at < near && (uids[this.#at] ?? 0) < uid) this.#at += 1;
    if ((uids[this.#at] ?? 0) < uid) this.#at = lowerBound(uids, uid, this.#at);
    return (starts[this.#number] ?? 0) + this.#at;
  }
}
