/** Deadlines do not keep the process alive; a test that waits for one must. */
import { sleep } from "../../../src/platform/deadline.ts";

const LONGEST_MS = 10_000;

export async function awake<T>(work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const held = sleep(LONGEST_MS, done.signal).catch(() => {});
  try {
    return await work;
  } finally {
    done.abort();
    await held;
  }
}
