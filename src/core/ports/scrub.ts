/** Checking what is stored; `store/scrub.ts` implements it. */
import type { BlobDigest } from "../ids.ts";

/** What can be wrong. `blob_…`: the subject is a digest; `mailbox_…`, `account_…`: an address or folder; else a message id. */
export type FindingKind =
  | "account_usage"
  | "blob_damaged"
  | "blob_in_use_marked"
  | "blob_missing"
  | "blob_size"
  | "entry_size"
  | "mailbox_counters"
  | "mailbox_uids"
  | "message_size"
  | "message_structure";

export interface ScrubFinding {
  readonly kind: FindingKind;
  readonly subject: string;
  /** Why, in one line. */
  readonly detail: string;
}

/** How far a run has come. The first five are what was checked; the others are no damage: the collector sees to them in time. */
export interface ScrubCounts {
  blobs: number;
  /** Logical octets that were hashed. */
  hashedBytes: number;
  messages: number;
  mailboxes: number;
  accounts: number;
  /** Blob rows that no message refers to. */
  unreferencedBlobs: number;
  /** Rows that are being collected, or were and are kept for a week. */
  collectingBlobs: number;
  /** Files without a row: older than a day, and younger ones (a delivery may be about to commit them). */
  extraFiles: number;
  extraBytes: number;
  youngFiles: number;
  /** Files whose names are no digests. */
  strangeFiles: number;
  temporaryFiles: number;
  findings: number;
}

export interface ScrubOptions {
  /** Only sizes and what the database says of itself: nothing is hashed. */
  readonly quick: boolean;
  /** Octets hashed per second at most; undefined: as fast as it goes. */
  readonly bytesPerSecond: number | undefined;
  /** Go on after this blob: `progress` of a run that was broken off said it. */
  readonly after: BlobDigest | undefined;
}

export type ScrubItem =
  | { readonly kind: "finding"; readonly finding: ScrubFinding }
  | {
      readonly kind: "progress";
      /** The last blob that was checked; undefined before the first, and after the last. */
      readonly after: BlobDigest | undefined;
      readonly counts: Readonly<ScrubCounts>;
    }
  /** Comes last, and only when everything was checked. */
  | { readonly kind: "done"; readonly counts: Readonly<ScrubCounts> };

export interface Scrubber {
  /**
   * One run; ends early when the reader stops reading. One at a time.
   * @throws {MairustError} `invalid_state`: one runs already; `draining`; `store_unavailable`
   */
  run(options: ScrubOptions): AsyncIterable<ScrubItem>;
  /** End what runs, with `draining`; later runs are refused. */
  stop(): void;
}
