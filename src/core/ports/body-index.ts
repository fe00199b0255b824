/** Which messages cannot hold a text: IMAP's SEARCH reads only the others. */
import type { MailboxId } from "../ids.ts";

/** Text that is looked for, and where. */
export interface IndexQuery {
  /** As `core/mail-text/fold.ts` folds; not empty. */
  readonly folded: string;
  /** `body`: text of parts, and headers inside; `header`: the message's own; `text`: both. */
  readonly where: "body" | "text" | "header";
  /** With `header`: the only field that counts, lower case. */
  readonly field?: string;
}

export interface BodyIndex {
  /**
   * @param uids  ascending
   * @returns those of `uids`, in their order, that may hold it; undefined: the index cannot tell, be it that the text is too short
   */
  candidates(
    mailbox: MailboxId,
    uids: Uint32Array,
    query: IndexQuery,
    gone: AbortSignal,
  ): Promise<Uint32Array | undefined>;
}
