/** Long computations in turns: a generator yields where others may go on. */
import { setImmediate } from "node:timers/promises";
import { ConnectionGone } from "./output.ts";

/** Simple steps between two looks at the others: a few milliseconds. */
export const SLICE_STEPS = 32_768;

/** @throws {ConnectionGone} nobody waits for the result any more */
export async function inSlices<T>(work: Generator<void, T>, gone: AbortSignal): Promise<T> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    await setImmediate();
    if (gone.aborted) throw new ConnectionGone();
  }
}

/** Work of others that ends with the connection. @throws {ConnectionGone} it did */
export async function whileThere<T>(gone: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (gone.aborted) throw new ConnectionGone();
    throw error;
  }
}
