/** A copy that is held in place of being stored (message path, step 7): what the store of holds gets for one account. Pure. */
import type { NewHold } from "../core/ports/holds.ts";
import type { HookDecision } from "../core/ports/hooks.ts";
import { type DecidedDelivery, type DeliveryFacts, entryPrefix } from "./account-delivery.ts";
import type { Ruling } from "./ruling.ts";

export function newHold(
  facts: DeliveryFacts,
  { delivery, received, events }: DecidedDelivery,
  { point, decision }: Ruling & { readonly kind: "hold" },
): NewHold {
  const { account, recipients } = delivery;
  const { client, dsn } = facts.envelope;
  // What the decision itself adds, release adds.
  const before = point === "pre_delivery" ? (received?.decision.headers ?? []) : [];
  return {
    point,
    recipients: recipients.slice(0, 1),
    account: { id: account.id, address: account.address },
    by: decision.by,
    reason: holdReason(decision.by),
    decision,
    authUser: undefined,
    prefix: entryPrefix(facts, delivery, before),
    session: { client, dsn, ...(facts.senderAuth === undefined ? {} : { senderAuth: facts.senderAuth }) },
    events,
  };
}

/** Why it is held, in one line. */
export function holdReason(by: HookDecision["by"]): string {
  return by?.reason ?? (by === undefined ? "" : `held by hook "${by.name}"`);
}
