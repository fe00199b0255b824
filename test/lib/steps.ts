/** How often work lets others have their turn: what a slice test counts in place of time. */
export function countSteps(steps: Generator): number {
  let count = 1;
  while (steps.next().done !== true) count += 1;
  return count;
}
