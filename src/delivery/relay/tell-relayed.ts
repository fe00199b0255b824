/**
 * Senders who asked to be told of success, of mail that a next hop took (message path, step 7). A server that announced DSN was given
 * what they asked for and tells them itself. Of another one nobody knows what it does with the mail next, so the sender is told that it
 * was relayed (RFC 3461 §5.2.2), and not that it was delivered; so does Postfix in front of such a server (`lmtp_assume_final`).
 */
import type { MairustError } from "../../core/errors.ts";
import type { MessageId } from "../../core/ids.ts";
import type { AccountDelivery, ArrivedMessage } from "../account-delivery.ts";
import { type StoredCopy, type TellParts, tellSuccess } from "../tell-success.ts";

/** RCPTs of one account that were relayed as one message. */
export type RelayedCopy = StoredCopy;

/** @param places  of those of its RCPTs that a server without DSN took. @returns nothing when there are none */
export function relayedCopy(
  delivery: AccountDelivery,
  id: MessageId,
  places: ReadonlySet<number>,
): readonly RelayedCopy[] {
  const kept = delivery.places.flatMap((place, i) => (places.has(place) ? [i] : []));
  if (kept.length === 0) return [];
  const recipients = kept.flatMap(i => delivery.recipients[i] ?? []);
  return [{ delivery: { ...delivery, recipients, places: kept.flatMap(i => delivery.places[i] ?? []) }, id }];
}

/** @returns the deliveries whose notice could not be queued now, and may be later */
export function tellRelayed(
  parts: TellParts,
  arrived: ArrivedMessage,
  copies: readonly RelayedCopy[],
): Promise<ReadonlyMap<AccountDelivery, MairustError>> {
  return tellSuccess(parts, arrived, copies, "relayed");
}
