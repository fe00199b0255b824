/** A walk over all messages for those that lack what a standing job makes after their commit; `store/message-walk.ts` has it. */
import type { MessageId } from "../ids.ts";

/** A stretch of message ids that was looked at. */
export interface Stretch {
  /** Ids without what is made, of the current version, in the order of the walk; all of the stretch. */
  readonly missing: readonly MessageId[];
  /** The last id that was looked at; undefined: there are none (left). */
  readonly last: MessageId | undefined;
}

export interface MessageWalk {
  /**
   * Look at up to `limit` messages after (`up`) or before (`down`) an id for those that lack it.
   * @param from  a UUID, itself not among them; undefined with `down`: from the newest on
   */
  walk(direction: "up" | "down", from: string | undefined, limit: number): Promise<Stretch>;
  /** Every message below this id has it: who reads may rely on that. Only ever goes up. */
  setCompleteBelow(id: string): Promise<void>;
}
