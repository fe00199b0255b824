/** `msg add`: one message without hooks; `delivery/add-message.ts` implements it. */
import type { MessageId } from "../ids.ts";
import type { Account } from "./directory.ts";
import type { FlagSet } from "./store.ts";

/** `msg add`: stores bytes exactly as they are, no field added, no hooks, no redelivery check. */
export interface MessageAdder {
  /** @throws {MairustError} `not_found` (mailbox), `over_quota`, `message_too_large`, `disk_full`, `store_unavailable` */
  add(request: AddRequest): Promise<AddedMessage>;
}

export interface AddRequest {
  readonly account: Account;
  readonly mailbox: string;
  readonly flags: FlagSet;
  readonly internalDate: Date;
  /** Message bytes; bare LF line ends are kept as they are. */
  readonly content: AsyncIterable<Uint8Array>;
}

export interface AddedMessage {
  readonly messageId: MessageId;
  readonly mailbox: string;
  readonly uid: number;
  readonly sizeBytes: number;
}
