/** What the log hears of refused connections and failed handshakes: the first of a kind at once, then how many, so that a flood is no flood of lines. */
import type { Log } from "../../core/ports/log.ts";

/** Time between two lines of one kind. */
const QUIET_MS = 10_000;

interface Kind {
  count: number;
  quietUntil: number;
  peer: string;
}

export class Refusals {
  readonly #log: Log;
  /** By listener and reason: both are closed sets. */
  readonly #kinds = new Map<string, Kind>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param now  `performance.now()` */
  note(listener: string, reason: string, peer: string, now: number): void {
    const key = `${listener} ${reason}`;
    const kind = this.#kinds.get(key) ?? { count: 0, quietUntil: Number.NEGATIVE_INFINITY, peer };
    this.#kinds.set(key, kind);
    kind.count += 1;
    kind.peer = peer;
    if (now >= kind.quietUntil) this.#tell(key, kind, now);
  }

  /** Tell what came since the last line; called about once a second. */
  sweep(now: number): void {
    for (const [key, kind] of this.#kinds)
      if (kind.count > 0 && now >= kind.quietUntil) this.#tell(key, kind, now);
  }

  #tell(key: string, kind: Kind, now: number): void {
    const [listener = "", reason = ""] = key.split(" ");
    this.#log.warn("imap connections refused", { listener, reason, count: kind.count, last_peer: kind.peer });
    kind.count = 0;
    kind.quietUntil = now + QUIET_MS;
  }
}
