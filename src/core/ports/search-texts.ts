/** Where the texts of messages for search are kept; `store/search-texts.ts` implements it. */
import type { BlobDigest, MessageId } from "../ids.ts";
import type { MessageWalk } from "./message-walk.ts";

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

export interface SearchTextStore extends MessageWalk {
  /** What is needed to make texts; messages that are gone are left out. */
  load(ids: readonly MessageId[]): Promise<readonly Untexted[]>;
  /** Messages that are gone meanwhile are passed over. */
  save(texts: readonly MadeText[]): Promise<void>;
}
