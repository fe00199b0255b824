/** Where the index behind IMAP's SEARCH is kept, and previews; `store/imap-texts.ts` implements it. */
import type { BlobDigest, MessageId } from "../ids.ts";
import type { MessageWalk } from "./message-walk.ts";

/** A message that is to be indexed. */
export interface Unindexed {
  readonly messageId: MessageId;
  readonly digest: BlobDigest;
  readonly structure: Uint8Array;
  readonly headerBytes: number;
  /** What its deliveries put in front of it, one after the other: whole header fields. */
  readonly prefixes: Uint8Array;
  /** Which those are, for the store. */
  readonly prefixKeys: string;
}

export interface MadeIndex {
  readonly messageId: MessageId;
  /** False: it may hold any text. */
  readonly complete: boolean;
  /** The cause may pass: it counts as missing at the next walk. */
  readonly again: boolean;
  readonly preview: string | undefined;
  /** Ascending, each once; none when it is not complete. */
  readonly grams: Int32Array;
  /** Of which prefixes the grams are there too. */
  readonly prefixKeys: string;
}

export type IndexOutcome = "complete" | "incomplete" | "failed";

export interface ImapTextStore extends MessageWalk {
  /** Messages that are gone are left out. */
  load(ids: readonly MessageId[]): Promise<readonly Unindexed[]>;
  /** Messages that are gone meanwhile are passed over. */
  save(texts: readonly MadeIndex[]): Promise<void>;
}
