/** Where the texts of messages for search are kept; `store/search-texts.ts` implements it. */
import type { BlobDigest, MessageId } from "../ids.ts";

/** A message whose text is to be made. */
export interface Untexted {
  readonly messageId: MessageId;
  readonly digest: BlobDigest;
  readonly structure: Uint8Array;
  /** Decoded at delivery: what is left when nothing else can be read. */
  readonly known: readonly string[];
}

export type TextOutcome = "complete" | "cut" | "failed";

export interface MadeText {
  readonly messageId: MessageId;
  readonly outcome: TextOutcome;
  /** What was cut, or why it failed. */
  readonly reason: string | undefined;
  /** The cause may pass: it counts as missing at the next walk. */
  readonly again: boolean;
  readonly folded: string;
  /** Ascending, each once. */
  readonly grams: Int32Array;
}

/** A stretch of message ids that was looked at. */
export interface Stretch {
  /** Ids without a text of the current version, in the order of the walk; all of the stretch. */
  readonly missing: readonly MessageId[];
  /** The last id that was looked at; undefined: there are none (left). */
  readonly last: MessageId | undefined;
}

export interface SearchTextStore {
  /**
   * Look at up to `limit` messages after (`up`) or before (`down`) an id for those without a text.
   * @param from  a UUID, itself not among them; undefined with `down`: from the newest on
   */
  walk(direction: "up" | "down", from: string | undefined, limit: number): Promise<Stretch>;
  /** What is needed to make texts; messages that are gone are left out. */
  load(ids: readonly MessageId[]): Promise<readonly Untexted[]>;
  /** Messages that are gone meanwhile are passed over. */
  save(texts: readonly MadeText[]): Promise<void>;
  /** Every message below this id has its text: search may rely on the index there. Only ever goes up. */
  setCompleteBelow(id: string): Promise<void>;
}
