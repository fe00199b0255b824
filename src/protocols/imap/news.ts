/**
 * Tells a session what changed in its mailbox: the only place where EXPUNGE, EXISTS and unasked FETCH answers are written.
 * Fails with {@link ConnectionGone}. Source: RFC 3501 §7.2.6, §7.3, §7.4.
 */
import { InvalidState } from "../../core/errors.ts";
import { type MailboxSnapshot, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { ImapCommand } from "./command.ts";
import type { SessionContext } from "./context.ts";
import { flagNames, knownFlags } from "./encode.ts";
import type { Output } from "./output.ts";
import { compareViews, type Selected } from "./view.ts";

type Told = Pick<SessionContext, "output"> & { readonly selected: Selected };

/** True when the answer to a command may hold no EXPUNGE: numbers would change their meaning under it (RFC 3501 §7.4.1). */
export function holdsNewsBack(command: ImapCommand): boolean {
  return command.kind === "STORE" || ("uid" in command && !command.uid);
}

/**
 * Announce what changed in the selected mailbox, if there is one, and adopt its newest state. Call only where EXPUNGE may be sent.
 * @throws {InvalidState} the mailbox was replaced (other UIDVALIDITY); {ConnectionGone}
 */
export async function announce({ selected, output, enabled }: SessionContext): Promise<void> {
  if (selected === undefined) return;
  const next = selected.mailbox.snapshot();
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
  // IMAP4rev2 has no RECENT (RFC 9051 Appendix E).
  const recent = enabled.rev2 ? "" : "* 0 RECENT\r\n";
  if (change.added > 0) output.text(`* ${next.count} EXISTS\r\n${recent}`);
  announceFlagNames({ selected, output });
  await announceFlags(output, next, change.flagged);
}

async function announceFlags(
  output: Output,
  view: MailboxSnapshot,
  indexes: readonly number[],
): Promise<void> {
  const messages = new SnapshotCursor(view);
  for (const index of indexes) {
    const names = flagNames(messages.flagSet(index));
    output.text(`* ${index + 1} FETCH (UID ${messages.uid(index)} FLAGS (${names}))\r\n`);
    await output.pressure();
  }
}

/** Tell new keywords before they are used (RFC 3501 §7.2.6). */
export function announceFlagNames({ selected, output }: Told): void {
  const told = selected.flagsTold;
  const now = flagsToTell(selected.view);
  if (now.flags === told.flags && now.keywords === told.keywords) return;
  const names = knownFlags(now.flags);
  selected.flagsTold = { ...now, names };
  if (names !== told.names) output.text(`* FLAGS (${names})\r\n`);
}

/** What SELECT told. */
export function firstFlagsTold(view: MailboxSnapshot): Selected["flagsTold"] {
  return { ...flagsToTell(view), names: knownFlags(view.flags) };
}

function flagsToTell({ flags }: MailboxSnapshot) {
  return { flags, keywords: flags.keywords.length };
}
