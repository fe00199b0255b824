/** Small steps from what a chain said to what a milter answers (message path, step 5). Pure. */
import { MairustError } from "../core/errors.ts";
import type { HookDecision } from "../core/ports/hooks.ts";
import type { MilterDecision } from "../core/ports/milter.ts";

/** @throws {MairustError} `internal`: the chain forgot a recipient */
export function decisionOf(
  each: ReadonlyMap<string, HookDecision>,
  address: string | undefined,
): HookDecision {
  const decision = each.get(address ?? "");
  if (decision === undefined)
    throw new MairustError("internal", `Cannot decide about "${address}": the chain said nothing of it`);
  return decision;
}

export function refusal({ action, reply }: HookDecision): MilterDecision {
  const { code, enhanced, text } = reply ?? {
    ...(action === "reject" ? { code: 550, enhanced: "5.7.1" } : { code: 451, enhanced: "4.7.1" }),
    text: "not accepted",
  };
  return { kind: "refuse", code, enhanced, lines: [text] };
}
