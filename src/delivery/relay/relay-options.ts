/** What relaying works on (message path, step 7), and the steps of it that tests are told of. */
import type { MessageId } from "../../core/ids.ts";
import type { Log } from "../../core/ports/log.ts";
import type { NextHops } from "../../core/ports/relay.ts";
import type { RelayRecords } from "../../core/ports/relay-records.ts";
import type { MessageStore } from "../../core/ports/store.ts";
import type { SuccessNotices } from "../../core/ports/success-notices.ts";

/**
 * In their order. `pending`: copies wait in the database. `relay_open`: it is written down that the end is about to be sent.
 * `relay_sent`: it was sent. `relayed`: the next hop has answered. `relay_recorded`: that is durable, and nobody was answered yet.
 */
export type RelayStep = "pending" | "relay_open" | "relay_sent" | "relayed" | "relay_recorded";

export interface RelayOptions {
  readonly hops: NextHops;
  readonly records: RelayRecords;
  readonly store: Pick<MessageStore, "recordEvents">;
  /** Undefined: DSN is not offered to the MTA. */
  readonly successNotices?: SuccessNotices | undefined;
  readonly log: Log;
  readonly now: () => Date;
  readonly newMessageId: () => MessageId;
  /** A recipient got a message that he may have had already: nobody knew. */
  readonly onMaybeTwice: () => void;
  readonly onStep?: (step: RelayStep) => void;
}
