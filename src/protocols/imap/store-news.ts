/**
 * What a session is told after it changed flags: what it asked for, and what others changed meanwhile, each once. The session takes the
 * newest flags over here, and no more: messages that came or went are announced where that is allowed.
 *
 * A client that asked for silence takes for granted that its change was made upon the flags that it knows: it is told where that is
 * not what came of it. Source: RFC 3501 §6.4.6 (`.SILENT`), §7.4.1; RFC 7162 §3.1.3 (MODSEQ is told to silent clients too).
 */
import { adoptFlags } from "../../core/adopt-flags.ts";
import { changeFlags, type FlagOp, sameFlags } from "../../core/flag-change.ts";
import { type MailboxSnapshot, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { FlagSet } from "../../core/ports/store.ts";
import { inSlices } from "../../platform/slices.ts";
import type { InMailbox } from "./context.ts";
import { writeFlags } from "./fetch-flags.ts";
import { announceFlagNames } from "./news.ts";
import { appendRange } from "./sequence-set.ts";

/** What was done to some messages in one commit. */
export interface StorePage {
  /** Of the view, ascending. */
  readonly indexes: Uint32Array;
  readonly op: FlagOp;
  readonly flags: FlagSet;
  readonly silent: boolean;
  /** UIDs that were left as they are. */
  readonly conflicts: readonly number[];
  /** UIDs of messages that are gone. */
  readonly missing: readonly number[];
}

/**
 * @param next  a state after the commit
 * @throws {ConnectionGone}
 */
export async function tellPage(context: InMailbox, page: StorePage, next: MailboxSnapshot): Promise<void> {
  const { selected, output, enabled } = context;
  const before = selected.view;
  // Another UIDVALIDITY: what is announced next ends the session.
  if (next.uidValidity !== before.uidValidity) return;
  const { state, changed } = await inSlices(adoptFlags(before, next, enabled.condstore));
  selected.view = state;
  announceFlagNames({ selected, output });
  const flagged = page.silent ? unexpected(page, before, state, changed) : withAll(page, before, changed);
  const items = { uid: true, flags: true, modseq: enabled.condstore };
  await writeFlags(state, rangesOf(flagged), items, output);
  if (!page.silent || !enabled.condstore) return;
  const told = new Set(flagged);
  const renumbered = numbered(page, before, state).filter(index => !told.has(index));
  await writeFlags(state, rangesOf(renumbered), { ...items, flags: false }, output);
}

/** What others changed, and each message that was named, changed or not. */
function withAll(page: StorePage, before: MailboxSnapshot, changed: readonly number[]): readonly number[] {
  const gone = new Set(page.missing);
  const messages = new SnapshotCursor(before);
  const named = [...page.indexes].filter(index => !gone.has(messages.uid(index)));
  return [...new Set([...named, ...changed])].sort((a, b) => a - b);
}

/**
 * Those whose flags are not what the client takes for granted, those that it may not change among them: it can try again at once. What
 * others took back again is no change, and is not what it takes for granted.
 */
function unexpected(
  page: StorePage,
  before: MailboxSnapshot,
  state: MailboxSnapshot,
  changed: readonly number[],
): readonly number[] {
  const conflicts = new Set(page.conflicts);
  const named = new Set(page.indexes);
  const [old, now] = [new SnapshotCursor(before), new SnapshotCursor(state)];
  const isLeft = (index: number) => conflicts.has(old.uid(index));
  const known = new Map<FlagSet, FlagSet>();
  const differs = (index: number) => {
    const had = old.flagSet(index);
    const expected = known.get(had) ?? changeFlags(had, page.op, page.flags);
    known.set(had, expected);
    return !sameFlags(expected, now.flagSet(index));
  };
  const own = numbered(page, before, state).filter(index => !isLeft(index) && differs(index));
  const left = [...page.indexes].filter(isLeft);
  return [...changed.filter(index => !named.has(index)), ...left, ...own].sort((a, b) => a - b);
}

/** Named messages that have another MODSEQ. */
function numbered(page: StorePage, before: MailboxSnapshot, state: MailboxSnapshot): readonly number[] {
  const [old, now] = [new SnapshotCursor(before), new SnapshotCursor(state)];
  return [...page.indexes].filter(index => old.modseq(index) !== now.modseq(index));
}

function rangesOf(ascending: readonly number[]): readonly number[] {
  const ranges: number[] = [];
  for (const index of ascending) appendRange(ranges, index, index + 1);
  return ranges;
}
