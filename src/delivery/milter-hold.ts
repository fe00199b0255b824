/**
 * Holding a message at the milter (message path, step 5): durable first, then the MTA may drop it. One hold for all recipients that
 * the chain said the same of. Held again, after an answer that was lost, nothing changes.
 */
import type { HeldRecipient, HeldSession, Holds, NewHold } from "../core/ports/holds.ts";
import type { HookDecision } from "../core/ports/hooks.ts";
import type { MilterEnvelope } from "../core/ports/milter.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { holdReason, noHolds } from "./hold-copy.ts";
import { receivedAtMilter } from "./milter-events.ts";
import { POINT_OF } from "./milter-options.ts";
import { messageColumns, type ReceivedMessage } from "./received-message.ts";

export interface MilterHold {
  readonly holds: Holds | undefined;
  readonly message: ReceivedMessage;
  readonly envelope: MilterEnvelope;
  /** One for each RCPT, in order; at least one holds. */
  readonly verdicts: readonly CarriedVerdict[];
  /** Of the hooks that were called. */
  readonly events: readonly TimelineEvent[];
}

/** @throws {MairustError} `not_built` without a store for holds; `disk_full`, `store_unavailable`: nothing is held */
export async function holdAtMilter({
  holds,
  message,
  envelope,
  verdicts,
  events,
}: MilterHold): Promise<void> {
  if (holds === undefined) throw noHolds();
  const blob = await message.staged.persist();
  const { receivedAt } = message;
  await holds.hold(
    {
      ...messageColumns(message, blob),
      queueId: envelope.queueId,
      mailFrom: envelope.mailFrom.raw,
      events: [receivedAtMilter(envelope, { receivedAt, sizeBytes: blob.sizeBytes }), ...events],
    },
    newHolds(envelope, verdicts),
  );
}

function newHolds(envelope: MilterEnvelope, verdicts: readonly CarriedVerdict[]): readonly NewHold[] {
  const holder = verdicts.find(({ decision }) => decision.action === "hold")?.decision;
  const groups = new Map<string, { readonly decision: HookDecision; readonly recipients: HeldRecipient[] }>();
  for (const [i, { decision }] of verdicts.entries()) {
    const recipient = envelope.recipients[i];
    if (recipient === undefined) continue;
    const key = JSON.stringify(decision);
    const group = groups.get(key) ?? { decision, recipients: [] };
    groups.set(key, group);
    const { address, orcpt, notify } = recipient;
    group.recipients.push({
      address,
      ...(orcpt === undefined ? {} : { orcpt }),
      ...(notify === undefined ? {} : { notify }),
    });
  }
  return [...groups.values()].map(({ decision, recipients }) => {
    // Outbound a hold for one recipient holds the message for all of them.
    const by = decision.by ?? holder?.by;
    return {
      point: POINT_OF[envelope.direction],
      recipients,
      account: undefined,
      by,
      reason: holdReason(by),
      decision,
      authUser: envelope.auth?.user,
      prefix: new Uint8Array(),
      session: sessionOf(envelope),
      events: [],
    };
  });
}

function sessionOf({ client, tls, dsn }: MilterEnvelope): HeldSession {
  return { client, dsn, ...(tls === undefined ? {} : { tls: true }) };
}
