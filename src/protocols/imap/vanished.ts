/**
 * Which UIDs are there no more, told as sets of ranges in lines of bounded length. The log of expunges answers as far as it reaches
 * back; beyond it, what is missing in the announced state is told. Source: RFC 7162 §3.2.5, §3.2.6, §3.2.10.
 */
import { setImmediate } from "node:timers/promises";
import { lowerBound, type MailboxSnapshot, SnapshotCursor, UidSeeker } from "../../core/mailbox-snapshot.ts";
import type { Output } from "./output.ts";
import type { Ranges } from "./sequence-set.ts";
import type { Selected } from "./view.ts";

/** Octets of one set: a client reads the line into memory. */
const SET_CHARS = 8000;
/** UIDs and ranges of them looked at before other sessions get their turn. */
const LOOKED_PER_SLICE = 8192;

/** Ascending. Undefined: much was looked at, and others are to have their turn. */
type InTurns<T> = Iterable<T | undefined>;
type Uids = InTurns<number>;
type UidRanges = InTurns<readonly [from: number, to: number]>;

/**
 * What vanished since a MODSEQ, of the state that was announced and nothing newer.
 * @param known  UID ranges that are asked about
 * @param same   all up to this UID are known to be there: used where the log of expunges does not reach back
 * @throws {MairustError} `store_unavailable`; {ConnectionGone}
 */
export async function tellEarlier(
  { mailbox, view }: Pick<Selected, "mailbox" | "view">,
  { since, known, same = 0 }: { readonly since: number; readonly known: Ranges; readonly same?: number },
  output: Output,
): Promise<void> {
  const { complete, uids } = await mailbox.vanished(since, view.highestModseq);
  const line = "* VANISHED (EARLIER) ";
  if (complete) await writeSets(line, singles(within(uids, known)), output);
  else await writeSets(line, missing(view, known, same), output);
}

/** Of messages that the session was told of. @param expunged  index ranges of `old` */
export function tellVanished(
  old: MailboxSnapshot,
  expunged: readonly number[],
  output: Output,
): Promise<void> {
  return writeSets("* VANISHED ", singles(uidsAtRanges(old, expunged)), output);
}

function* uidsAtRanges(view: MailboxSnapshot, indexes: readonly number[]): Uids {
  const messages = new SnapshotCursor(view);
  for (let i = 0; i < indexes.length; i += 2)
    for (let index = indexes[i] ?? 0; index < (indexes[i + 1] ?? 0); index += 1) yield messages.uid(index);
}

function* within(uids: Uint32Array, known: Ranges): Uids {
  let at = 0;
  for (let i = 0; i < known.length && at < uids.length; i += 2) {
    if (i % LOOKED_PER_SLICE === LOOKED_PER_SLICE - 2) yield undefined;
    const to = known[i + 1] ?? 0;
    for (at = lowerBound(uids, known[i] ?? 0, at); at < uids.length && (uids[at] ?? 0) <= to; at += 1)
      yield uids[at] ?? 0;
  }
}

function* singles(uids: Uids): UidRanges {
  let looked = 0;
  for (const uid of uids) {
    yield uid === undefined ? undefined : [uid, uid];
    looked += 1;
    if (looked % LOOKED_PER_SLICE === 0) yield undefined;
  }
}

/** All UIDs of `known` above `same` that were given and are not in the mailbox. */
function* missing(view: MailboxSnapshot, known: Ranges, same: number): UidRanges {
  const messages = new SnapshotCursor(view);
  const seeker = new UidSeeker(view);
  let looked = 0;
  for (let i = 0; i < known.length; i += 2) {
    let from = Math.max(known[i] ?? 0, same + 1);
    const to = Math.min(known[i + 1] ?? 0, view.uidNext - 1);
    for (let index = seeker.index(from); ; index += 1) {
      looked += 1;
      if (looked % LOOKED_PER_SLICE === 0) yield undefined;
      const uid = messages.uid(index);
      if (index >= view.count || uid > to) break;
      if (uid > from) yield [from, uid - 1];
      from = uid + 1;
    }
    if (from <= to) yield [from, to];
  }
}

/** Neighbours become one range. */
async function writeSets(line: string, ranges: UidRanges, output: Output): Promise<void> {
  let set = "";
  let [from, to] = [0, 0];
  const close = () => {
    if (to > 0) set += `${set === "" ? "" : ","}${from === to ? from : `${from}:${to}`}`;
  };
  for (const range of ranges) {
    if (range === undefined) await setImmediate();
    else if (to > 0 && range[0] === to + 1) to = range[1];
    else {
      close();
      [from, to] = range;
      if (set.length < SET_CHARS) continue;
      output.text(`${line}${set}\r\n`);
      set = "";
      await output.pressure();
    }
  }
  close();
  if (set !== "") output.text(`${line}${set}\r\n`);
}
