/** Messages in an order that a client asks for, and what they are threaded by. Source: RFC 5256. */
import type { MailboxId } from "../ids.ts";

export interface SortCriterion {
  readonly key: "ARRIVAL" | "CC" | "DATE" | "FROM" | "SIZE" | "SUBJECT" | "TO";
  readonly reverse: boolean;
}

/** One message; hashes have 53 bits, so that a number holds them exactly. */
export interface ThreadRow {
  readonly uid: number;
  /** Hashes of message ids: its own (0: none), then those of what it answers, the oldest first. */
  readonly ids: Float64Array;
  /** Hash of the base subject; 0: it is empty. */
  readonly subject: number;
  readonly isReply: boolean;
  /** Seconds since 1970. */
  readonly sentS: number;
}

/** UIDs that are gone meanwhile are left out. */
export interface MessageOrder {
  /** @returns `uids` in order; ties by UID */
  sort(
    mailbox: MailboxId,
    uids: Uint32Array,
    by: readonly SortCriterion[],
    gone: AbortSignal,
  ): Promise<Uint32Array>;
  threadRows(mailbox: MailboxId, uids: Uint32Array, gone: AbortSignal): AsyncIterable<readonly ThreadRow[]>;
}
