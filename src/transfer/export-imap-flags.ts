/** Changes of flags on their way to the other server: messages with the same change go by one command. */
import { allFlags, type FlagChange, flagChange, keptFlags, type ReadFlags } from "./imap-flags.ts";
import type { ImapTarget, ThereMessage } from "./imap-target.ts";

export class FlagCarrier {
  /** Flags that the folder does not keep. */
  readonly leftOut = new Set<string>();
  refused = false;
  readonly #target: ImapTarget;
  readonly #permanent: ReadonlySet<string> | undefined;
  readonly #changes = new Map<string, { readonly change: FlagChange; readonly uids: number[] }>();

  /** @param permanent  PERMANENTFLAGS of the opened folder */
  constructor(target: ImapTarget, permanent: ReadonlySet<string> | undefined) {
    this.#target = target;
    this.#permanent = permanent;
  }

  /** @param before  ours when both were the same */
  follow(there: ThereMessage, before: readonly string[], now: ReadFlags): void {
    const change = flagChange(before, allFlags(now), allFlags(there));
    const add = keptFlags(change.add, this.#permanent);
    for (const flag of change.add) if (!add.includes(flag)) this.leftOut.add(flag);
    if (add.length === 0 && change.remove.length === 0) return;
    const key = JSON.stringify([[...add].sort(), [...change.remove].sort()]);
    const same = this.#changes.get(key) ?? { change: { add, remove: change.remove }, uids: [] };
    same.uids.push(there.uid);
    this.#changes.set(key, same);
  }

  /** @returns messages that were changed there */
  async flush(): Promise<number> {
    let changed = 0;
    for (const { change, uids } of this.#changes.values()) {
      const added = change.add.length === 0 || (await this.#target.store(uids, "add", change.add));
      const removed = change.remove.length === 0 || (await this.#target.store(uids, "remove", change.remove));
      if (added && removed) changed += uids.length;
      else this.refused = true;
    }
    this.#changes.clear();
    return changed;
  }
}
