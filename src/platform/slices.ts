/** Long work in small steps, so that everything else on this event loop has its turn. Whose work it is: `core` says its steps. */
import { setImmediate } from "node:timers/promises";
import type { Steps } from "../core/mailbox-delta.ts";

/** Work stops for others after this time. */
const SLICE_MS = 5;

/** Take steps, and let others have their turn now and then. */
export async function inSlices<Result>(steps: Steps<Result>): Promise<Result> {
  let endMs = performance.now() + SLICE_MS;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() < endMs) continue;
    await setImmediate();
    endMs = performance.now() + SLICE_MS;
  }
}
