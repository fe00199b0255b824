/**
 * What becomes of one account's copy after its hooks (message path, step 6): stored, refused, or held. Pure.
 *
 * A reject of pre_receive that is applied here comes too late to tell the sender's server: what Postfix would send back goes to a
 * sender that may be forged. `lmtp.late_reject` says what becomes of it.
 */
import type { HookDecision, HookPoint } from "../core/ports/hooks.ts";
import type { DecidedDelivery } from "./account-delivery.ts";
import type { Refusal } from "./outcomes.ts";

export type Ruling =
  | { readonly kind: "store" }
  | { readonly kind: "refuse"; readonly refusal: Refusal }
  | { readonly kind: "hold"; readonly point: HookPoint; readonly decision: HookDecision };

export type LateReject = "hold" | "reject";

export function rulingOf({ received, decision }: DecidedDelivery, lateReject: LateReject): Ruling {
  if (received !== undefined && received.decision.action !== "deliver") {
    const { action } = received.decision;
    const isHeld = action === "hold" || (action === "reject" && lateReject === "hold");
    return isHeld
      ? { kind: "hold", point: "pre_receive", decision: received.decision }
      : { kind: "refuse", refusal: refusalOf(received.decision) };
  }
  if (decision === undefined || decision.action === "deliver") return { kind: "store" };
  if (decision.action !== "hold") return { kind: "refuse", refusal: refusalOf(decision) };
  const metadata = { ...received?.decision.metadata, ...decision.metadata };
  const wishes = [...(received?.decision.wishes ?? []), ...(decision.wishes ?? [])];
  return {
    kind: "hold",
    point: "pre_delivery",
    decision: { ...decision, metadata, ...(wishes.length === 0 ? {} : { wishes }) },
  };
}

function refusalOf({ action, reply }: HookDecision): Refusal {
  if (reply !== undefined) return { action, ...reply };
  return action === "reject"
    ? { action, code: 550, enhanced: "5.7.1", text: "not accepted" }
    : { action, code: 451, enhanced: "4.7.1", text: "not accepted now" };
}
