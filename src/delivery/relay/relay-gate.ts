/**
 * Lets transactions with next hops pass, or holds them for a moment (message path, step 7): while Dovecot is told to read its settings anew.
 *
 * A reload ends Dovecot's LMTP processes where they are: one that has just saved a message answers 421 to it, and the message comes again
 * (seen with 2.3.19). Whoever reloads closes the gate, waits until nothing is under way, and opens it. A gate that nobody opens opens by
 * itself.
 *
 *   open     who comes passes
 *   closed   who comes waits; who is inside goes on; left by `open()`, or when the time is over
 */
import type { Deadline } from "../../core/deadline.ts";
import { MairustError } from "../../core/errors.ts";
import { deadlineAfter, type TimedDeadline, within } from "../../platform/deadline.ts";

interface Turn {
  readonly opened: Promise<void>;
  readonly open: () => void;
}

interface Closed extends Turn {
  readonly until: TimedDeadline;
}

export class RelayGate {
  readonly #maxWaiting: number;
  #inside = 0;
  #waiting = 0;
  #closed: Closed | undefined;
  /** Told when nobody is inside. */
  readonly #onEmpty = new Set<() => void>();

  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting;
  }

  /**
   * @returns what the caller calls once when it is out again
   * @throws {MairustError} `deadline`; `too_many` wait already
   */
  async enter(deadline: Deadline): Promise<() => void> {
    for (let closed = this.#closed; closed !== undefined; closed = this.#closed) {
      if (this.#waiting >= this.#maxWaiting)
        throw new MairustError(
          "too_many",
          `Cannot relay: ${this.#waiting} wait already until relays go on again`,
        );
      this.#waiting += 1;
      try {
        await within(closed.opened, deadline);
      } finally {
        this.#waiting -= 1;
      }
    }
    this.#inside += 1;
    return () => {
      this.#inside -= 1;
      if (this.#inside === 0) for (const tell of this.#onEmpty) tell();
    };
  }

  /**
   * Close it for `forMs`, from now; closed already, for as long as that from now.
   * @returns true: nobody is inside; false: somebody is still there at the deadline, and it is closed all the same
   */
  async close(forMs: number, deadline: Deadline): Promise<boolean> {
    const before = this.#closed;
    before?.until.dispose();
    const until = deadlineAfter(forMs);
    this.#closed = { ...(before ?? turn()), until };
    until.onEnd(() => this.open());
    if (this.#inside === 0) return true;
    const { opened: empty, open: tell } = turn();
    this.#onEmpty.add(tell);
    try {
      await within(empty, deadline);
      return true;
    } catch {
      return false;
    } finally {
      this.#onEmpty.delete(tell);
    }
  }

  open(): void {
    const closed = this.#closed;
    this.#closed = undefined;
    closed?.until.dispose();
    closed?.open();
  }
}

function turn(): Turn {
  let open: () => void = () => undefined;
  const opened = new Promise<void>(resolve => {
    open = resolve;
  });
  return { opened, open };
}
