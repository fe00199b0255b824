/**
 * Immutable states of one mailbox, packed: 4 bytes of UID and 2 bytes of flag-set id per message. A newer state is made from the
 * older one and the rows that changed since its MODSEQ. Pure; `mailbox-hub.ts` reads the rows.
 */
import { MairustError } from "../core/errors.ts";
import type { MailboxId } from "../core/ids.ts";
import type { MailboxSnapshot } from "../core/ports/mailboxes.ts";
import type { FlagSet } from "../core/ports/store.ts";

/** Distinct flag sets per mailbox: ids are 16 bits. */
const MAX_FLAG_SETS = 65_535;

/** Interns flag sets of one mailbox; ids never change their meaning. Key: `"<system>[ keyword]…"`. */
export class FlagSetTable {
  readonly #ids = new Map<string, number>();
  readonly sets: FlagSet[] = [];

  id(key: string): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    if (this.sets.length >= MAX_FLAG_SETS) {
      throw new MairustError(
        "too_many",
        `Cannot hold more than ${MAX_FLAG_SETS} different flag sets of one mailbox`,
      );
    }
    const [system = "0", ...keywords] = key.split(" ");
    this.sets.push({ system: Number(system), keywords: keywords.sort() });
    this.#ids.set(key, this.sets.length - 1);
    return this.sets.length - 1;
  }
}

/** What changed since a MODSEQ: `lines` hold `"<uid> <system>[ keyword]…"` in UID order, one per line. */
export interface MailboxDelta {
  readonly uidNext: number;
  readonly highestModseq: number;
  readonly lines: string;
  readonly expunged: readonly number[];
}

export interface MailboxIdentity {
  readonly mailboxId: MailboxId;
  readonly uidValidity: number;
}

/** The state of a mailbox without messages: what every first delta is applied to. */
export function emptySnapshot(identity: MailboxIdentity, flags: FlagSetTable): MailboxSnapshot {
  return {
    ...identity,
    uidNext: 1,
    highestModseq: 0,
    uids: new Uint32Array(0),
    flagIds: new Uint16Array(0),
    flagSets: flags.sets,
  };
}

/** @returns the newer state; `base` itself when nothing changed */
export function applyDelta(base: MailboxSnapshot, delta: MailboxDelta, flags: FlagSetTable): MailboxSnapshot {
  if (delta.highestModseq === base.highestModseq && delta.uidNext === base.uidNext) return base;
  const changed = parseLines(delta.lines, flags);
  const kept = withoutExpunged(base, delta.expunged);
  const lastUid = kept.uids.length === 0 ? 0 : (kept.uids[kept.uids.length - 1] as number);
  const firstNew = lowerBound(changed.uids, changed.count, lastUid + 1);
  const total = kept.uids.length + changed.count - firstNew;
  const uids = new Uint32Array(total);
  const flagIds = new Uint16Array(total);
  uids.set(kept.uids);
  flagIds.set(kept.flagIds);
  for (let i = 0; i < firstNew; i++) {
    const uid = changed.uids[i] as number;
    const at = lowerBound(kept.uids, kept.uids.length, uid);
    if (kept.uids[at] === uid) flagIds[at] = changed.flagIds[i] as number;
  }
  uids.set(changed.uids.subarray(firstNew, changed.count), kept.uids.length);
  flagIds.set(changed.flagIds.subarray(firstNew, changed.count), kept.uids.length);
  return {
    ...base,
    uidNext: delta.uidNext,
    highestModseq: delta.highestModseq,
    uids,
    flagIds,
    flagSets: flags.sets,
  };
}

function parseLines(
  lines: string,
  flags: FlagSetTable,
): { uids: Uint32Array; flagIds: Uint16Array; count: number } {
  let count = lines === "" ? 0 : 1;
  for (let at = lines.indexOf("\n"); at >= 0; at = lines.indexOf("\n", at + 1)) count++;
  const uids = new Uint32Array(count);
  const flagIds = new Uint16Array(count);
  for (let i = 0, start = 0; i < count; i++) {
    const newline = lines.indexOf("\n", start);
    const end = newline < 0 ? lines.length : newline;
    const space = lines.indexOf(" ", start);
    uids[i] = Number(lines.slice(start, space));
    flagIds[i] = flags.id(lines.slice(space + 1, end));
    start = end + 1;
  }
  return { uids, flagIds, count };
}

function withoutExpunged(
  base: MailboxSnapshot,
  expunged: readonly number[],
): { uids: Uint32Array; flagIds: Uint16Array } {
  if (expunged.length === 0) return base;
  const gone = new Set(expunged);
  const keep: number[] = [];
  base.uids.forEach((uid, i) => {
    if (!gone.has(uid)) keep.push(i);
  });
  return {
    uids: Uint32Array.from(keep, i => base.uids[i] as number),
    flagIds: Uint16Array.from(keep, i => base.flagIds[i] as number),
  };
}

/** First index in `sorted[0, length)` whose value is at least `value`. */
export function lowerBound(sorted: Uint32Array, length: number, value: number): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
