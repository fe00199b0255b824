/**
 * Holding a message at the milter (message path, step 5): durable first, then the MTA may drop it. One hold for all recipients that
 * the chain said the same of. Held again, after an answer that was lost, nothing changes.
 */
import type { HeldRecipient, HeldSession, Holds, NewHold } from "../core/ports/holds.ts";
import type { MilterEnvelope, MilterRecipient } from "../core/ports/milter.ts";
import type { AuthFacts } from "../core/ports/sender-auth.ts";
import type { TimelineEvent } from "../core/ports/timeline.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { groupByDecision } from "../core/same-decision.ts";
import { holdReason } from "./hold-copy.ts";
import { receivedAtMilter } from "./milter-events.ts";
import { POINT_OF } from "./milter-options.ts";
import { messageColumns, type ReceivedMessage } from "./received-message.ts";

export interface MilterHold {
  readonly holds: Holds;
  readonly message: ReceivedMessage;
  readonly envelope: MilterEnvelope;
  readonly senderAuth: AuthFacts | undefined;
  /** One for each RCPT, in order; at least one holds. */
  readonly verdicts: readonly CarriedVerdict[];
  /** Of the hooks that were called. */
  readonly events: readonly TimelineEvent[];
  /** Asked when the bytes are durable. @throws {MairustError} the MTA has its answer already, and it was another one */
  readonly assertWanted: () => void;
}

/** @throws {MairustError} `disk_full`, `store_unavailable`: nothing is held */
export async function holdAtMilter({
  holds,
  message,
  envelope,
  senderAuth,
  verdicts,
  events,
  assertWanted,
}: MilterHold): Promise<void> {
  const blob = await message.staged.persist();
  assertWanted();
  const { receivedAt } = message;
  await holds.hold(
    {
      ...messageColumns(message, blob),
      queueId: envelope.queueId,
      mailFrom: envelope.mailFrom.raw,
      events: [receivedAtMilter(envelope, { receivedAt, sizeBytes: blob.sizeBytes }), ...events],
    },
    newHolds(envelope, senderAuth, verdicts),
  );
}

function newHolds(
  envelope: MilterEnvelope,
  senderAuth: AuthFacts | undefined,
  verdicts: readonly CarriedVerdict[],
): readonly NewHold[] {
  const holder = verdicts.find(({ decision }) => decision.action === "hold")?.decision;
  const decided = verdicts.flatMap(({ decision }, i) => {
    const recipient = envelope.recipients[i];
    return recipient === undefined ? [] : [{ decision, recipient }];
  });
  return groupByDecision(decided).map(({ decision, items }) => {
    // Outbound a hold for one recipient holds the message for all of them.
    const by = decision.by ?? holder?.by;
    return {
      point: POINT_OF[envelope.direction],
      recipients: items.map(({ recipient }) => heldRecipient(recipient)),
      account: undefined,
      by,
      reason: holdReason(by),
      decision,
      authUser: envelope.auth?.user,
      prefix: new Uint8Array(),
      session: sessionOf(envelope, senderAuth),
      events: [],
    };
  });
}

function heldRecipient({ address, orcpt, notify }: MilterRecipient): HeldRecipient {
  return {
    address,
    ...(orcpt === undefined ? {} : { orcpt }),
    ...(notify === undefined ? {} : { notify }),
  };
}

function sessionOf({ client, tls, dsn }: MilterEnvelope, senderAuth: AuthFacts | undefined): HeldSession {
  return {
    ...{ client, dsn },
    ...(tls === undefined ? {} : { tls: true }),
    ...(senderAuth === undefined ? {} : { senderAuth }),
  };
}
