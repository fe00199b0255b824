/** Turns of password checks: each takes memory and a processor for tens of milliseconds. A check that began goes on, so that leaving buys no free guess. */
import { Turns } from "../platform/turns.ts";

/** Checks at a time: 19 MiB each. */
const MAX_RUNNING = 2;
/** Logins that may wait for their check. */
const MAX_WAITING = 500;

export class PasswordTurns extends Turns {
  constructor() {
    super({
      running: MAX_RUNNING,
      waiting: MAX_WAITING,
      refusal: "Cannot check a password: too many logins wait",
      publicText: "too many logins, try later",
    });
  }
}
