/**
 * What a client missed of a mailbox that it comes back to: expunges as UIDs, then changed and new messages, of one state. Where the
 * log of expunges does not reach back, the pairs of numbers and UIDs that the client remembers say from where on nothing is sure.
 * Source: RFC 7162 §3.2.5.
 */
import { lastUid, type MailboxSnapshot, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { Steps } from "../../core/steps.ts";
import { inSlices } from "../../platform/slices.ts";
import { changedSince } from "./changed-since.ts";
import { writeFlags } from "./fetch-flags.ts";
import type { Output } from "./output.ts";
import type { QresyncRequest } from "./parse-select.ts";
import { indexesOfUids, type Ranges, resolveSet, type SequenceSet } from "./sequence-set.ts";
import { tellEarlier } from "./vanished.ts";
import type { Selected } from "./view.ts";

const ALL_UIDS: SequenceSet = { ranges: Uint32Array.of(1, 4_294_967_295), star: undefined };
/** Pieces of what a client remembers that are looked at in one step. */
const STEP = 1024;

/** @throws {MairustError} `store_unavailable`; {ConnectionGone} */
export async function resync(selected: Selected, request: QresyncRequest, output: Output): Promise<void> {
  const { view } = selected;
  const known = request.knownUids ?? ALL_UIDS;
  // A MODSEQ that we never gave tells nothing: everything is told.
  const since = request.modseq <= view.highestModseq ? request.modseq : 0;
  const same = await inSlices(lastSameUid(view, request.match));
  const missed = { since, known: resolveSet(known, lastUid(view)), same };
  await tellEarlier(selected, missed, output);
  const changed = await inSlices(changedSince(view, await inSlices(indexesOfUids(known, view)), since));
  await writeFlags(view, changed, { uid: true, flags: true, modseq: true }, output);
}

/**
 * The last of the client's pairs that holds here too: UIDs only rise, so as many messages as it knows up to there are there, and
 * they are the same ones.
 * @returns its UID, or 0
 */
export function* lastSameUid(view: MailboxSnapshot, match: QresyncRequest["match"]): Steps<number> {
  if (match === undefined) return 0;
  const messages = new SnapshotCursor(view);
  let same = 0;
  let looked = 0;
  for (const { number, uid, length } of alignedRuns(match.numbers.ranges, match.uids.ranges)) {
    looked += 1;
    if (looked % STEP === 0) yield;
    // Where one pair does not hold, none behind it does.
    const held = countHeld(length, n => messages.uid(number + n - 1) === uid + n);
    if (held > 0) same = uid + held - 1;
    if (held < length) break;
  }
  return same;
}

/** @returns the n of which `holds` is true for 0..n-1 and false from n on */
function countHeld(length: number, holds: (n: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

interface Run {
  readonly number: number;
  readonly uid: number;
  readonly length: number;
}

/** Pieces in which both sets rise by one. What is left over in one of them has no partner and is passed over. */
function* alignedRuns(numbers: Ranges, uids: Ranges): Iterable<Run> {
  let [i, j, usedNumbers, usedUids] = [0, 0, 0, 0];
  while (i < numbers.length && j < uids.length) {
    const [number, numberEnd] = [numbers[i] ?? 0, numbers[i + 1] ?? 0];
    const [uid, uidEnd] = [uids[j] ?? 0, uids[j + 1] ?? 0];
    const length = Math.min(numberEnd - number - usedNumbers, uidEnd - uid - usedUids) + 1;
    yield { number: number + usedNumbers, uid: uid + usedUids, length };
    usedNumbers += length;
    usedUids += length;
    if (number + usedNumbers > numberEnd) [i, usedNumbers] = [i + 2, 0];
    if (uid + usedUids > uidEnd) [j, usedUids] = [j + 2, 0];
  }
}
