/** Long work that can be left and taken up again, so that who runs it may give others their turn (`platform/slices.ts`). Pure. */

/** Work that may stop for others after each step; the value it returns is the result. */
export type Steps<Result> = Generator<undefined, Result>;

/** All steps without a break, for who has nobody waiting. */
export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
