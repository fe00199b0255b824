/**
 * Which recipients a chain said the same of. A message may have ten thousand recipients and a decision half a megabyte of metadata:
 * so decisions are compared and never written out, and parts that they share are seen to be the same at once. Pure.
 */
import type { HookDecision } from "./ports/hooks.ts";

/** JSON values by their content. */
export function isSame(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const keys = Object.keys(one);
  return (
    keys.length === Object.keys(other).length &&
    keys.every(
      key =>
        Object.hasOwn(other, key) &&
        isSame((one as Record<string, unknown>)[key], (other as Record<string, unknown>)[key]),
    )
  );
}

export interface SameDecision<T> {
  readonly decision: HookDecision;
  readonly items: readonly T[];
}

/** @returns groups in the order of their first item; in each the items are in order */
export function groupByDecision<T extends { readonly decision: HookDecision }>(
  items: readonly T[],
): readonly SameDecision<T>[] {
  const groups: { readonly decision: HookDecision; readonly items: T[] }[] = [];
  for (const item of items) {
    const group = groups.find(({ decision }) => isSame(decision, item.decision));
    if (group === undefined) groups.push({ decision: item.decision, items: [item] });
    else group.items.push(item);
  }
  return groups;
}
