/** Whether database and blobs agree; `store/scrub.ts` implements it. */

export type FindingKind =
  /** A message's bytes are not there, or are not what they were. */
  | "blob_missing"
  | "blob_damaged"
  /** The rows disagree with each other. */
  | "blob_size"
  | "message_size"
  | "structure_unreadable"
  | "mailbox_counters"
  | "mailbox_uids"
  | "account_counters";

export interface Finding {
  readonly kind: FindingKind;
  /** What it is about: a digest, a message id, an account's mailbox. */
  readonly subject: string;
  readonly detail: string;
}

export interface ScrubSummary {
  /** Blobs that a message needs, and those of them that were hashed. */
  readonly blobs: number;
  readonly hashed: number;
  readonly messages: number;
  readonly findings: number;
  /** Files that no row names: a crash or an upload left them, the collector takes them after a day. */
  readonly filesWithoutRow: number;
}

export type ScrubStep =
  | { readonly step: "progress"; readonly done: number; readonly total: number }
  | { readonly step: "finding"; readonly finding: Finding }
  | { readonly step: "summary"; readonly summary: ScrubSummary };

export interface Scrub {
  /**
   * Look at everything, read-only and beside running mail. The last step is the summary.
   * @param quick  rows alone and whether the files are there; nothing is hashed
   * @throws {MairustError} `store_unavailable`, `too_many` (one runs already)
   */
  run(options: { readonly quick: boolean; readonly signal: AbortSignal }): AsyncIterable<ScrubStep>;
}
