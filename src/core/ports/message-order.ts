/** Messages in an order that a client asks for, and what they are threaded by. Source: RFC 5256. */
import type { MailboxIdentity } from "../mailbox-snapshot.ts";

export interface SortCriterion {
  readonly key: "ARRIVAL" | "CC" | "DATE" | "FROM" | "SIZE" | "SUBJECT" | "TO";
  readonly reverse: boolean;
}

/** One message; hashes are exact as numbers. */
export interface ThreadRow {
  readonly uid: number;
  /** Hashes of message ids: its own (0: none), then those of what it answers, the oldest first. */
  readonly ids: readonly number[];
  /** Hash of the base subject; 0: it is empty. */
  readonly subject: number;
  readonly isReply: boolean;
  /** Seconds since 1970. */
  readonly sentS: number;
}

/** What has no keys yet gets them first, so that every answer is exact. UIDs that are gone meanwhile may be left out. */
export interface MessageOrder {
  /**
   * @param uids  ascending
   * @param by    at least one
   * @returns `uids` in order; ties by UID
   */
  sort(
    mailbox: MailboxIdentity,
    uids: Uint32Array,
    by: readonly SortCriterion[],
    gone: AbortSignal,
  ): Promise<Uint32Array>;
  /**
   * A few at a time, since it takes memory: what `work` made is small.
   * @param uids  ascending
   * @param work  gets the rows of `uids` in the same order, in bounded pages
   */
  threads<T>(
    mailbox: MailboxIdentity,
    uids: Uint32Array,
    work: (rows: AsyncIterable<readonly ThreadRow[]>) => Promise<T>,
    gone: AbortSignal,
  ): Promise<T>;
}
