/** Which messages cannot hold a text: IMAP's SEARCH reads only the others. */
import type { MailboxId } from "../ids.ts";

export interface BodyIndex {
  /**
   * @param folded  as the protocol folds what it compares
   * @returns those of `uids`, in their order, that may hold it; undefined: the index cannot tell, be it that the text is too short
   */
  candidates(
    mailbox: MailboxId,
    uids: Uint32Array,
    folded: string,
    where: "body" | "text" | "header",
    gone: AbortSignal,
  ): Promise<Uint32Array | undefined>;
}
