/** How often work lets others have their turn: what a slice test counts in place of time. */
import type { Steps } from "../../src/core/steps.ts";

export function countSteps(steps: Steps<unknown>): number {
  let count = 1;
  while (steps.next().done !== true) count += 1;
  return count;
}
