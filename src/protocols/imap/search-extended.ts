/**
 * The answer of an extended search: `* ESEARCH (TAG "a1") UID MIN 2 COUNT 3 ALL 2,5:6`. Source: RFC 4731 §3.1, §3.2; RFC 4466 §2.6.2;
 * RFC 5182 §2.1, §2.4; RFC 7162 §3.1.5.
 */
import { setImmediate } from "node:timers/promises";
import { type MailboxSnapshot, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { InMailbox } from "./context.ts";
import type { SearchCommand } from "./parse-search.ts";
import type { SearchReturn } from "./parse-search-return.ts";
import type { Matches } from "./search-run.ts";

/** Messages looked at before the event loop gets its turn. */
const MESSAGES_PER_SLICE = 200_000;

/**
 * The messages that an answer is about: with MIN and MAX alone only these (RFC 4731 §3.2, RFC 5182 §2.1), else all.
 * @param indexes  ascending
 */
export function chosen(indexes: Uint32Array, { min, max, all, count }: SearchReturn): Uint32Array {
  if (all || count || !(min || max) || indexes.length < 2) return indexes;
  const ends = [...(min ? indexes.subarray(0, 1) : []), ...(max ? indexes.subarray(-1) : [])];
  return Uint32Array.from(ends);
}

/** Nothing is told when the result is only to be saved (RFC 5182 §2.1). */
export async function writeExtended(
  context: InMailbox,
  command: Pick<SearchCommand, "tag" | "uid">,
  returns: SearchReturn,
  { indexes, asksModseq }: Matches,
): Promise<void> {
  const { min, max, all, count } = returns;
  if (!(min || max || all || count)) return;
  const { output, selected } = context;
  const messages = new SnapshotCursor(selected.view);
  const number = (index: number) => (command.uid ? messages.uid(index) : index + 1);
  const [first, last] = [indexes[0], indexes.at(-1)];
  output.text(`* ESEARCH (TAG "${command.tag}")${command.uid ? " UID" : ""}`);
  if (min && first !== undefined) output.text(` MIN ${number(first)}`);
  if (max && last !== undefined) output.text(` MAX ${number(last)}`);
  if (count) output.text(` COUNT ${indexes.length}`);
  if (all && indexes.length > 0) await writeSet(context, indexes, number);
  if (asksModseq && indexes.length > 0) {
    output.text(` MODSEQ ${await highestModseq(selected.view, chosen(indexes, returns))}`);
  }
  output.text("\r\n");
}

/** As a set with ranges, written while it is made. */
async function writeSet(
  { output }: InMailbox,
  indexes: Uint32Array,
  number: (index: number) => number,
): Promise<void> {
  output.text(" ALL ");
  let from = number(indexes[0] ?? 0);
  let to = from;
  for (let i = 1; i < indexes.length; i += 1) {
    if (i % MESSAGES_PER_SLICE === 0) await setImmediate();
    const next = number(indexes[i] ?? 0);
    if (next === to + 1) {
      to = next;
      continue;
    }
    output.text(`${rangeText(from, to)},`);
    const waiting = output.pressure();
    if (waiting !== undefined) await waiting;
    from = next;
    to = next;
  }
  output.text(rangeText(from, to));
}

const rangeText = (from: number, to: number) => (from === to ? `${from}` : `${from}:${to}`);

/** @param indexes  of the announced state, not empty */
export async function highestModseq(view: MailboxSnapshot, indexes: Uint32Array): Promise<number> {
  const messages = new SnapshotCursor(view);
  let highest = 0;
  for (let i = 0; i < indexes.length; i += 1) {
    if (i % MESSAGES_PER_SLICE === MESSAGES_PER_SLICE - 1) await setImmediate();
    highest = Math.max(highest, messages.modseq(indexes[i] ?? 0));
  }
  return highest;
}
