/**
 * Verdicts as their columns hold them: each decision once, with those whom it is for. Written for each recipient, the metadata of one
 * plugin would make a row that no database takes.
 */
import type { HookDecision } from "../core/ports/hooks.ts";
import type { CarriedVerdict } from "../core/ports/verdicts.ts";
import { groupByDecision } from "../core/same-decision.ts";

/** JSON knows no undefined: those fields are absent. */
type StoredDecision = Omit<HookDecision, "by" | "reply" | "folder"> &
  Partial<Pick<HookDecision, "by" | "reply" | "folder">>;

export interface VerdictGroup {
  readonly decision: StoredDecision;
  readonly for: ReadonlyArray<readonly [recipient: string, orcpt: string]>;
}

export function toGroups(verdicts: readonly CarriedVerdict[]): readonly VerdictGroup[] {
  return groupByDecision(verdicts).map(({ decision, items }) => ({
    decision,
    for: items.map(({ recipient, orcpt }) => [recipient, orcpt] as const),
  }));
}

export function fromGroups(groups: readonly VerdictGroup[]): readonly CarriedVerdict[] {
  return groups.flatMap(group => {
    const decision = { by: undefined, reply: undefined, folder: undefined, ...group.decision };
    return group.for.map(([recipient, orcpt]) => ({ recipient, orcpt, decision }));
  });
}
