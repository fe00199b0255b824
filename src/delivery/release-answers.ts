/** Pure steps of a release: who may ask for it, who holds the mail from now on, and what is told of it. */
import { MairustError } from "../core/errors.ts";
import type { Approver, HeldRecord, HoldTaken } from "../core/ports/hold-admin.ts";
import type { HookDecision } from "../core/ports/hooks.ts";
import type { DecidedRecipient } from "./release-chain.ts";
import type { SmtpReply } from "./smtp-submission.ts";

export const NO_REPLY: SmtpReply = { taken: false, text: "no reply" };

export const answerOf = ({
  recipient,
  text,
}: Pick<DecidedRecipient, "recipient"> & { readonly text: string }) => ({
  recipient: recipient.address.raw,
  text,
});

/**
 * Who holds it from now on, when hooks objected for several recipients: the first in the chain, so that none is passed over. One that
 * deferred is to be asked again: then it stays where it was.
 */
export function firstHolder(objected: readonly DecidedRecipient[]): DecidedRecipient | undefined {
  if (objected.some(({ decision }) => decision.action === "tempfail")) return undefined;
  return [...objected].sort((a, b) => byPlace(a.decision.by, b.decision.by))[0];
}

function byPlace(a: HookDecision["by"], b: HookDecision["by"]): number {
  if (a === undefined || b === undefined) return 0;
  // Names are all different: among equal priorities they decide.
  return a.priority - b.priority || (a.name < b.name ? -1 : 1);
}

/** @throws {MairustError} `not_permitted`: whoever sent it wants to let it go */
export function refuseSender({ authUser }: HeldRecord, by: Approver): void {
  const login = authUser?.toLowerCase();
  const user = by.user?.toLowerCase();
  // A user of the host may log in by name or by address.
  if (login === undefined || user === undefined || (login !== user && !login.startsWith(`${user}@`))) return;
  const text = "the sender of a message cannot decide about it";
  throw new MairustError("not_permitted", `Cannot release or reject: ${text}`, { publicText: text });
}

/** What was submitted is out: whoever looks at the hold must know. */
export function notRecorded({ record }: HoldTaken, cause: unknown): MairustError {
  const text = "mail may have been submitted, and that could not be recorded";
  return new MairustError("store_unavailable", `Cannot release "${record.id}": ${text}`, {
    publicText: text,
    cause,
  });
}

export function fieldsOf({ id, messageId, queueId, account }: HeldRecord) {
  return { queue_id: queueId, id: messageId, hold: id, ...(account === undefined ? {} : { to: account }) };
}
