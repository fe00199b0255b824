/** Long work in small steps, so that everything else on this event loop has its turn: a generator yields where others may go on. */
import { setImmediate } from "node:timers/promises";

/** Work stops for others after this time. */
const SLICE_MS = 5;

/** Simple operations between two yields, for work that has no steps of its own: well below a millisecond. */
export const SLICE_STEPS = 32_768;

/**
 * Take steps, and let others have their turn now and then.
 * @param gone  nobody waits for the result any more: it throws the signal's reason
 */
export async function inSlices<Result>(
  steps: Generator<unknown, Result>,
  gone?: AbortSignal,
): Promise<Result> {
  let endMs = performance.now() + SLICE_MS;
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    gone?.throwIfAborted();
    if (performance.now() < endMs) continue;
    await setImmediate();
    endMs = performance.now() + SLICE_MS;
  }
}

/** The same for work in many pieces, each done at once: whoever has done one asks whether others have their turn now. */
export class Slice {
  #endMs = performance.now() + SLICE_MS;

  /** @returns to be awaited before the next piece; undefined: go on */
  over(): Promise<void> | undefined {
    return performance.now() < this.#endMs ? undefined : this.#pass();
  }

  async #pass(): Promise<void> {
    await setImmediate();
    this.#endMs = performance.now() + SLICE_MS;
  }
}
