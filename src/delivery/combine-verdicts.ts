/**
 * What pre_receive and pre_send said of each recipient → the one answer that a milter has for all of them, and what is left for
 * LMTP to do (message path, step 5). Pure.
 *
 * Source: mail-path.md §1 ("A milter answer covers all recipients"), §3 (Merge)
 */
import type { FinalAction, HookDecision } from "../core/ports/hooks.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { isSame } from "../core/same-decision.ts";

export type Fields = HookDecision["headers"];

export interface Accepted {
  /** To be added here: they are the same for all. */
  readonly headers: Fields;
  readonly addBcc: readonly string[];
  readonly appendText: HookDecision["appendText"];
  /** For LMTP; empty: nothing but "deliver". */
  readonly carried: readonly CarriedVerdict[];
  /** Of `carried`: the same for all. */
  readonly uniform: boolean;
}

export type Combined =
  /** `reject` or `tempfail`. */
  | { readonly kind: "refuse"; readonly decision: HookDecision }
  | { readonly kind: "hold" }
  | ({ readonly kind: "accept" } & Accepted);

const STRENGTH: Readonly<Record<FinalAction, number>> = { deliver: 0, hold: 1, tempfail: 2, reject: 3 };

/**
 * Mail from outside: only what holds for every recipient is done here. Who is merely watched has `deliver`, and so keeps the others'
 * verdicts from being applied to it.
 * @param verdicts  one for each RCPT, at least one
 */
export function combineInbound(verdicts: readonly CarriedVerdict[]): Combined {
  const [first] = verdicts;
  const { action } = first?.decision ?? { action: "deliver" };
  const isForAll = verdicts.every(({ decision }) => decision.action === action);
  if (first !== undefined && isForAll && (action === "reject" || action === "tempfail"))
    return { kind: "refuse", decision: first.decision };
  if (isForAll && action === "hold") return { kind: "hold" };
  return { kind: "accept", addBcc: [], appendText: [], ...split(verdicts) };
}

/** Mail that is sent: the sender is ours and sees the answer, so the strongest verdict is everybody's. */
export function combineOutbound(verdicts: readonly CarriedVerdict[]): Combined {
  const strongest = verdicts
    .map(({ decision }) => decision)
    .reduce<HookDecision | undefined>(
      (best, one) => (best === undefined || STRENGTH[one.action] > STRENGTH[best.action] ? one : best),
      undefined,
    );
  if (strongest?.action === "reject" || strongest?.action === "tempfail")
    return { kind: "refuse", decision: strongest };
  if (strongest?.action === "hold") return { kind: "hold" };
  return { kind: "accept", ...combineSent(verdicts) };
}

/** What is changed of mail that is sent: for all recipients what hooks want for any of them. */
export function combineSent(verdicts: readonly CarriedVerdict[]): Accepted {
  const headers = unique(verdicts.flatMap(({ decision }) => decision.headers));
  const addBcc = unique(verdicts.flatMap(({ decision }) => decision.addBcc));
  const appendText = unique(verdicts.flatMap(({ decision }) => decision.appendText));
  return { headers, addBcc, appendText, carried: [], uniform: true };
}

/** What the milter adds itself, and what of the verdicts then remains. */
export function split(verdicts: readonly CarriedVerdict[]): {
  readonly headers: Fields;
  readonly carried: readonly CarriedVerdict[];
  readonly uniform: boolean;
} {
  const headers = verdicts[0]?.decision.headers ?? [];
  const isAddedHere = verdicts.every(
    ({ decision }) => decision.action === "deliver" && isSame(decision.headers, headers),
  );
  const rest = isAddedHere
    ? verdicts.map(one => ({ ...one, decision: { ...one.decision, headers: [] } }))
    : verdicts;
  const uniform = rest.every(({ decision }) => isSame(decision, rest[0]?.decision));
  const isNothing = rest.every(({ decision }) => saysNothing(decision));
  return { headers: isAddedHere ? headers : [], carried: isNothing ? [] : rest, uniform };
}

/** Deliver, and nothing else. */
function saysNothing(decision: HookDecision): boolean {
  return (
    decision.action === "deliver" &&
    decision.folder === undefined &&
    decision.flags.system === 0 &&
    Object.keys(decision.metadata).length === 0 &&
    [decision.tags, decision.flags.keywords, decision.headers, decision.provenance].every(
      list => list.length === 0,
    )
  );
}

function unique<T>(items: readonly T[]): readonly T[] {
  return [...new Map(items.map(item => [JSON.stringify(item), item])).values()];
}
