/**
 * The job that a message leaves when it is stored otherwise than by a delivery (message path, step 8): a release. `store_deliveries`
 * (0001_init.sql) makes that of a delivery.
 */
import type { AccountId, MessageId } from "../core/ids.ts";
import type { Delivery } from "../core/ports/store.ts";
import type { Tx } from "./db.ts";
import { FOLLOW_UP_ATTEMPTS } from "./deliver-rows.ts";
import { enqueueJob } from "./jobs.ts";

/** @param accounts  whose copies it is for; others of the same message had theirs */
export async function enqueueFollowUp(
  tx: Tx,
  kind: NonNullable<Delivery["followUp"]>,
  messageId: MessageId,
  accounts: readonly AccountId[],
): Promise<void> {
  await enqueueJob(tx, { kind, payload: { accounts }, maxAttempts: FOLLOW_UP_ATTEMPTS, messageId });
}
