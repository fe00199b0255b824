/** What messages are sorted and threaded by, made after their commit; `store/message-keys.ts` implements it. */
import type { MessageId } from "../ids.ts";
import type { MessageWalk } from "./message-walk.ts";

export interface MessageKeyStore extends MessageWalk {
  /** Read the headers of these, make their keys and store them. Messages that are gone are passed over. */
  make(ids: readonly MessageId[], signal: AbortSignal): Promise<void>;
  /** Store empty keys. */
  giveUp(id: MessageId, reason: string): Promise<void>;
}
