/**
 * Up to which UID a mailbox is indexed for IMAP's SEARCH, as far as this node saw it: what is indexed stays so until another version of
 * the index is made. Bounded; what falls out is found again by looking at the whole mailbox.
 */
import type { MailboxId } from "../core/ids.ts";

/** Mailboxes that are remembered, the last ones asked about. */
const MAILBOXES_MAX = 1000;
/** Messages of one mailbox that are not indexed; with more of them nothing is remembered. */
const OPEN_MAX = 2000;

export interface IndexedUpTo {
  readonly uidValidity: number;
  /** All up to this UID is indexed, 0: nothing is known, */
  readonly upTo: number;
  /** but for these. */
  readonly open: Uint32Array;
}

const NOTHING: IndexedUpTo = { uidValidity: 0, upTo: 0, open: new Uint32Array(0) };

export class IndexedMailboxes {
  /** The one asked about last is the last. */
  readonly #known = new Map<MailboxId, IndexedUpTo>();

  of(mailbox: MailboxId): IndexedUpTo {
    return this.#known.get(mailbox) ?? NOTHING;
  }

  forget(mailbox: MailboxId): void {
    this.#known.delete(mailbox);
  }

  learn(mailbox: MailboxId, learnt: IndexedUpTo): void {
    const before = this.of(mailbox);
    // Another search may have looked further meanwhile.
    if (before.uidValidity === learnt.uidValidity && before.upTo > learnt.upTo) return;
    this.forget(mailbox);
    if (learnt.open.length > OPEN_MAX) return;
    this.#known.set(mailbox, learnt);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAILBOXES_MAX) return;
      this.#known.delete(oldest);
    }
  }
}
