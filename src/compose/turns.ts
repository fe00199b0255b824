/** Changes that must not run into each other come one after the other: a reload, and hooks by command. */

/** Runs `work` after all that came before it has ended, whatever came of that. */
export type Turns = <T>(work: () => Promise<T>) => Promise<T>;

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return work => {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  };
}
