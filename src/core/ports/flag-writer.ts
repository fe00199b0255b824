/** Changes of flags and keywords that a user makes by IMAP. An IMAP server that has none is read-only. */
import type { AccountId, MailboxId } from "../ids.ts";
import type { FlagSet } from "./store.ts";

export interface FlagChange {
  readonly mailbox: MailboxId;
  readonly account: AccountId;
  /** Ascending, each once, at most {@link STORE_PAGE}. */
  readonly uids: Uint32Array;
  readonly op: "add" | "remove" | "replace";
  /** Never \Deleted, which `replace` leaves as it is. Keywords as the user spelled them. */
  readonly flags: FlagSet;
  /** Messages with a higher MODSEQ are not touched (RFC 7162 §3.1.3); undefined: any is. */
  readonly unchangedSince: number | undefined;
  readonly by: { readonly peer: string; readonly user: string };
}

export interface FlagChangeResult {
  /** Of this change; undefined: nothing changed. */
  readonly modseq: number | undefined;
  /** Not touched because of `unchangedSince`. */
  readonly conflicts: Uint32Array;
  /** Expunged meanwhile. */
  readonly missing: Uint32Array;
}

export interface FlagWriter {
  /**
   * One transaction; those who watch the mailbox are told after it.
   * @throws {MairustError} `too_many` keywords, `not_found`, `store_unavailable`
   */
  change(change: FlagChange): Promise<FlagChangeResult>;
}

/** Messages in one change: as long as it takes, no mail is delivered to that mailbox. */
export const STORE_PAGE = 10_000;
