/**
 * The one thing a session waits on: input, the end of the connection, a change of the mailbox and draining all raise it.
 * A raise that comes while nobody waits is kept, so none is lost; several become one.
 */
export class Latch {
  #raised = false;
  #wake: (() => void) | undefined;

  raise(): void {
    this.#raised = true;
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Resolves at the next raise, at once when there was one since the last wait. One waiter at a time. */
  wait(): Promise<void> {
    return new Promise(resolve => {
      const done = () => {
        this.#raised = false;
        resolve();
      };
      if (this.#raised) done();
      else this.#wake = done;
    });
  }
}
