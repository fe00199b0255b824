/**
 * Senders who asked to be told of success, of mail that was held for an account and let go to it (message path, step 7, later). Let go
 * to another account it did not reach whom its sender named: nobody is told. Told after the commit; what fails then is logged, because
 * the mail is where it belongs.
 */
import { messageOf } from "../core/errors.ts";
import type { BlobStore } from "../core/ports/blobs.ts";
import type { ResolvedRecipient } from "../core/ports/directory.ts";
import type { HoldTaken } from "../core/ports/hold-admin.ts";
import type { Log } from "../core/ports/log.ts";
import type { SuccessNotices } from "../core/ports/success-notices.ts";
import type { RelayedReply } from "./relay/release-relay.ts";
import { heldContent, heldHeader } from "./release-facts.ts";

export interface ReleaseTellParts {
  readonly successNotices?: SuccessNotices;
  readonly blobs: Pick<BlobStore, "get">;
  readonly log: Log;
}

/** Never rejects. @param relayed  the next hop's reply; undefined: it is stored here */
export async function tellReleased(
  { successNotices, blobs, log }: ReleaseTellParts,
  taken: HoldTaken,
  { account }: ResolvedRecipient,
  relayed: RelayedReply | undefined,
): Promise<void> {
  const { record, message, session } = taken;
  const isOwn = record.account === account.address || taken.accountId === account.id;
  const isAsked = record.recipients.some(({ notify }) => notify?.includes("SUCCESS"));
  if (successNotices === undefined || !isOwn || !isAsked || relayed?.tellsSuccess === true) return;
  try {
    await successNotices.tell({
      ...{ messageId: message.messageId, receivedAt: message.receivedAt, mailFrom: message.mailFrom },
      ...{ dsn: session.dsn ?? {}, account: account.address, recipients: record.recipients },
      action: relayed === undefined ? "delivered" : "relayed",
      header: await heldHeader(heldContent(blobs, taken), taken),
    });
  } catch (error) {
    log.warn("sender not told", { id: message.messageId, to: account.address, reason: messageOf(error) });
  }
}
