/**
 * Tells a session what changed in its mailbox: the only place where EXPUNGE, VANISHED, EXISTS and unasked FETCH answers are written.
 * Fails with {@link ConnectionGone}. Source: RFC 3501 §7.2.6, §7.3, §7.4; RFC 7162 §3.1, §3.2.10.
 */
import { setImmediate } from "node:timers/promises";
import { MairustError } from "../../core/errors.ts";
import type { MailboxSnapshot } from "../../core/mailbox-snapshot.ts";
import { inSlices } from "../../platform/slices.ts";
import type { ImapCommand } from "./command.ts";
import type { SessionContext } from "./context.ts";
import { knownFlags } from "./encode.ts";
import { writeFlags } from "./fetch-flags.ts";
import type { Output } from "./output.ts";
import { namesNumbers } from "./search-numbers.ts";
import { tellVanished } from "./vanished.ts";
import { compareViews, type Selected } from "./view.ts";

/** EXPUNGE lines after which other sessions get their turn, also when the client reads as fast as we write. */
const LINES_PER_SLICE = 5000;

type Told = Pick<SessionContext, "output"> & { readonly selected: Selected };

/** The mailbox that the session has selected is there no more, or another one is in its place: the session ends. */
export class MailboxLost extends MairustError {
  constructor() {
    super("not_found", "Cannot follow the selected mailbox: it was removed or replaced", {
      publicText: "The selected mailbox was removed or replaced",
    });
  }
}

/** True when the answer to a command may hold no EXPUNGE: numbers would change their meaning under it (RFC 3501 §7.4.1). */
export function holdsNewsBack(command: ImapCommand): boolean {
  return command.kind === "STORE" || ("uid" in command && !command.uid);
}

/**
 * True when news may be told before the command is carried out: it names messages by UIDs alone. A UID SEARCH may hold numbers,
 * which mean what was announced when the client wrote them; then news come behind the answer, which has UIDs.
 */
export function takesNewsFirst(command: ImapCommand): boolean {
  return "uid" in command && command.uid && !("request" in command && namesNumbers(command.request.key));
}

/**
 * Announce what changed in the selected mailbox, if there is one, and adopt its newest state. Call only where EXPUNGE may be sent.
 * @throws {MailboxLost} {ConnectionGone}
 */
export async function announce({ selected, output, enabled }: SessionContext): Promise<void> {
  if (selected === undefined) return;
  const next = selected.mailbox.snapshot();
  const old = selected.view;
  if (next === old) return;
  if (next.uidValidity !== old.uidValidity) throw new MailboxLost();
  // RFC 7162 §3.1: a client that stores by MODSEQ would fail upon one that it was not told, although it knows the flags.
  const change = await inSlices(compareViews(old, next, enabled.condstore));
  selected.view = next;
  // First of all: a client that takes MODSEQs from what follows has seen every expunge below them.
  if (enabled.qresync) await tellVanished(old, change.expunged, output);
  else await tellExpunged(change.expunged, output);
  // IMAP4rev2 has no RECENT (RFC 9051 Appendix E).
  const recent = enabled.rev2 ? "" : "* 0 RECENT\r\n";
  if (change.added > 0) output.text(`* ${next.count} EXISTS\r\n${recent}`);
  announceFlagNames({ selected, output });
  const items = { uid: true, flags: true, modseq: enabled.condstore };
  await writeFlags(next, change.flagged, items, output);
}

/** Highest number first: none shifts another. @param expunged  index ranges */
async function tellExpunged(expunged: readonly number[], output: Output): Promise<void> {
  let lines = 0;
  for (let i = expunged.length - 2; i >= 0; i -= 2) {
    for (let number = expunged[i + 1] ?? 0; number > (expunged[i] ?? 0); number -= 1) {
      output.text(`* ${number} EXPUNGE\r\n`);
      const waiting = output.pressure();
      if (waiting !== undefined) await waiting;
      lines += 1;
      if (lines % LINES_PER_SLICE === 0) await setImmediate();
    }
  }
}

/**
 * In place of {@link announce} behind a command that holds news back. A STORE has the session take over flags whose MODSEQs are above
 * those of expunges that it was not told of. A client that takes MODSEQs from its FETCH answers, of this command or a later one, would
 * pass over them: it is told how far all is known to it.
 */
export function tellHowFar({ selected, output, enabled }: SessionContext): void {
  if (!enabled.condstore || selected === undefined) return;
  const { chunks, highestModseq } = selected.view;
  if (chunks.some(({ maxModseq }) => maxModseq > highestModseq))
    output.text(`* OK [HIGHESTMODSEQ ${highestModseq}] News are waiting\r\n`);
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
