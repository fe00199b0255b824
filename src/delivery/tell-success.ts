/**
 * After a commit and before the MTA's answer: whose senders asked to be told of success (message path, step 7). Mostly nobody did, and
 * nothing happens here.
 */
import { type MairustError, toMairustError } from "../core/errors.ts";
import type { MessageId } from "../core/ids.ts";
import type { Log } from "../core/ports/log.ts";
import type { SuccessNotices } from "../core/ports/success-notices.ts";
import type { AccountDelivery, ArrivedMessage } from "./account-delivery.ts";

export interface StoredCopy {
  readonly delivery: AccountDelivery;
  /** As which message it is stored: of the first delivery, when it came again. */
  readonly id: MessageId;
}

/** @returns the deliveries whose notice could not be queued now, and may be later */
export async function tellSuccess(
  { successNotices, log }: { readonly successNotices: SuccessNotices | undefined; readonly log: Log },
  { message, envelope }: ArrivedMessage,
  copies: readonly StoredCopy[],
): Promise<ReadonlyMap<AccountDelivery, MairustError>> {
  const failed = new Map<AccountDelivery, MairustError>();
  if (successNotices === undefined) return failed;
  for (const { delivery, id } of copies) {
    const { account, recipients } = delivery;
    if (!recipients.some(({ notify }) => notify?.includes("SUCCESS"))) continue;
    try {
      await successNotices.tell({
        ...{
          messageId: id,
          receivedAt: message.receivedAt,
          mailFrom: envelope.mailFrom.raw,
          dsn: envelope.dsn,
        },
        ...{ account: account.address, recipients, action: "delivered" },
        header: message.structure.headerBytes ?? message.structure.headerHead,
      });
    } catch (error) {
      const failure = toMairustError(error, "tell the sender");
      log.warn("sender not told", { id, to: account.address, error: failure });
      // The database is away: the MTA keeps the mail a moment longer. Nothing else may do that to mail that is stored.
      if (failure.code === "store_unavailable") failed.set(delivery, failure);
    }
  }
  return failed;
}
