/**
 * Runs a few steps of a sequence ahead of the consumer, in order and bounded: the next blobs are opened while one is
 * being sent. A failure of the source surfaces at its place; whatever was started ahead is dropped on an early end.
 */

/**
 * @param steps  lazily started pieces of work that do not reject
 * @param count  how many may be started and not yet consumed
 * @param drop   releases a result nobody will consume
 */
export async function* ahead<T>(
  steps: AsyncIterable<() => Promise<T>>,
  count: number,
  drop: (result: T) => Promise<void>,
): AsyncGenerator<T> {
  const source = steps[Symbol.asyncIterator]();
  const started: Array<Promise<T>> = [];
  try {
    for (;;) {
      let ended = false;
      while (started.length < count) {
        const next = await source.next();
        if (next.done === true) {
          ended = true;
          break;
        }
        started.push(next.value());
      }
      const first = started.shift();
      if (first === undefined) return;
      yield await first;
      if (ended) {
        for (let rest = started.shift(); rest !== undefined; rest = started.shift()) yield await rest;
        return;
      }
    }
  } finally {
    for (const rest of started) await drop(await rest);
    await source.return?.();
  }
}
