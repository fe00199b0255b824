/**
 * The mailbox as one session has been told of it. Sequence numbers mean this state and nothing newer, until the protocol
 * lets us announce the difference (RFC 3501 §5.2, §7.4.1). Holds a reference to the shared snapshot, never a copy.
 */
import { InvalidState } from "../../core/errors.ts";
import type { MailboxSnapshot, OpenMailbox } from "../../core/ports/mailboxes.ts";
import { flagNames, knownFlags } from "./encode.ts";
import type { Output } from "./output.ts";

export interface Selected {
  readonly mailbox: OpenMailbox;
  /** The announced state. */
  view: MailboxSnapshot;
  /** Flag sets told by an untagged FLAGS answer so far. */
  knownSets: number;
}

export interface ViewChange {
  /** Sequence numbers as they stand when each is announced: descending, so none shifts another. */
  readonly expunged: readonly number[];
  readonly added: number;
  /** Indexes in the new state whose flags differ. */
  readonly flagged: readonly number[];
}

/**
 * @throws {InvalidState} a UID appeared below a known one: sequence numbers cannot follow, the session must end
 */
export function compareViews(old: MailboxSnapshot, next: MailboxSnapshot): ViewChange {
  const expunged: number[] = [];
  const flagged: number[] = [];
  const { uids, flagIds } = next;
  let j = 0;
  for (let i = 0; i < old.uids.length; i += 1) {
    const uid = old.uids[i];
    if (j < uids.length && uids[j] === uid) {
      if (flagIds[j] !== old.flagIds[i]) flagged.push(j);
      j += 1;
    } else if (j < uids.length && (uids[j] ?? 0) < (uid ?? 0)) {
      throw new InvalidState("imap view", "a message below a known UID", "ascending UIDs");
    } else expunged.push(i + 1);
  }
  return { expunged: expunged.reverse(), added: uids.length - j, flagged };
}

/**
 * Announce what changed and adopt the new state. Call only where EXPUNGE may be sent.
 * @throws {InvalidState} the mailbox was replaced (other UIDVALIDITY); {ConnectionGone}
 */
export async function announce(selected: Selected, next: MailboxSnapshot, output: Output): Promise<void> {
  const old = selected.view;
  if (next === old) return;
  if (next.uidValidity !== old.uidValidity) {
    throw new InvalidState("imap view", "another UIDVALIDITY", "the one announced");
  }
  const change = compareViews(old, next);
  selected.view = next;
  for (const number of change.expunged) {
    output.text(`* ${number} EXPUNGE\r\n`);
    await output.pressure();
  }
  if (change.added > 0) output.text(`* ${next.uids.length} EXISTS\r\n* 0 RECENT\r\n`);
  announceFlagNames(selected, output);
  for (const index of change.flagged) {
    const flags = next.flagSets[next.flagIds[index] ?? 0];
    const names = flags === undefined ? "" : flagNames(flags);
    output.text(`* ${index + 1} FETCH (UID ${next.uids[index]} FLAGS (${names}))\r\n`);
    await output.pressure();
  }
}

/** Tell new keywords before they are used (RFC 3501 §7.2.6). */
export function announceFlagNames(selected: Selected, output: Output): void {
  const sets = selected.view.flagSets;
  if (sets.length === selected.knownSets) return;
  const before = knownFlags(sets.slice(0, selected.knownSets));
  const now = knownFlags(sets);
  selected.knownSets = sets.length;
  if (now !== before) output.text(`* FLAGS (${now})\r\n`);
}
