/** Changes of flags and keywords that a user makes by IMAP. An IMAP server that has none is read-only. */
import type { FlagOp } from "../flag-change.ts";
import type { MailboxId } from "../ids.ts";
import type { FlagSet } from "./store.ts";

export interface FlagChange {
  readonly mailbox: MailboxId;
  /** Of the UIDs: an import may have given the mailbox another one. */
  readonly uidValidity: number;
  /** Each once, at most {@link STORE_PAGE}. */
  readonly uids: Uint32Array;
  /** What it does to each message: `core/flag-change.ts`. */
  readonly op: FlagOp;
  /** Keywords as the mailbox spells them. */
  readonly flags: FlagSet;
  /** Messages with a higher MODSEQ are not touched (RFC 7162 §3.1.3); undefined: any is. */
  readonly unchangedSince: number | undefined;
  readonly by: { readonly peer: string; readonly user: string };
}

export interface FlagChangeResult {
  /** UIDs of those not touched because of `unchangedSince`. */
  readonly conflicts: readonly number[];
  /** Expunged meanwhile. */
  readonly missing: readonly number[];
}

export interface FlagWriter {
  /**
   * One transaction, and one event for all of it; those who watch the mailbox are told after it.
   * @throws {MairustError} `too_many` keywords of one message, `not_found` the mailbox is gone or has another UIDVALIDITY,
   * `store_unavailable`; nothing is changed then, but that it is not known when `context.outcome` is "unknown"
   */
  change(change: FlagChange): Promise<FlagChangeResult>;
}

/** Messages in one change: as long as it takes, no mail is delivered to that mailbox. */
export const STORE_PAGE = 1000;
