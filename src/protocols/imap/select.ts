/**
 * SELECT and EXAMINE. Without a writer of flags both open read-only and say so. A client that comes back is told what it missed.
 * Source: RFC 3501 §6.3.1–6.3.2; RFC 7162 §3.1.2.1, §3.2.5, §3.2.11; RFC 8474 §4.2; RFC 9051 §6.3.2.
 */
import { firstUnseen, type MailboxSnapshot } from "../../core/mailbox-snapshot.ts";
import type { ImapCommand } from "./command.ts";
import { enableCondstore } from "./condstore.ts";
import type { LoggedIn } from "./context.ts";
import { mailboxObjectId, permanentFlags, wireMailbox } from "./encode.ts";
import { firstFlagsTold } from "./news.ts";
import { bad, type Completion, ok } from "./reply.ts";
import { resync } from "./resync.ts";

type SelectCommand = Extract<ImapCommand, { kind: "SELECT" | "EXAMINE" }>;

/** @throws {MairustError} `not_found`: then nothing is selected (RFC 3501 §6.3.1) */
export async function select(context: LoggedIn, command: SelectCommand): Promise<Completion> {
  const { output, enabled } = context;
  if (command.qresync !== undefined && !enabled.qresync) return bad("QRESYNC is not enabled");
  if (context.selected !== undefined) {
    context.unselect();
    // To everybody (RFC 7162 §3.2.11): imapc takes all before it for the old mailbox as soon as QRESYNC is announced.
    output.text("* OK [CLOSED] Previous mailbox is closed\r\n");
  }
  if (command.condstore) enableCondstore(context);
  const mailbox = await context.reader.open(context.account.id, command.mailbox);
  const view = mailbox.snapshot();
  const flagsTold = firstFlagsTold(view);
  const writable = command.kind === "SELECT" && context.writer !== undefined;
  const selected = { mailbox, writable, view, flagsTold };
  context.selected = selected;
  const lines = [
    `FLAGS (${flagsTold.names})`,
    `${view.count} EXISTS`,
    // RFC 9051 Appendix E: neither \\Recent nor UNSEEN once IMAP4rev2 is enabled; its SELECT tells the name (§6.3.2).
    ...(enabled.rev2
      ? [`LIST () "/" ${wireMailbox(mailbox.info.name, true)}`]
      : ["0 RECENT", ...unseen(view)]),
    writable
      ? `OK [PERMANENTFLAGS (${permanentFlags(view.flags)})] Flags that can be changed`
      : "OK [PERMANENTFLAGS ()] Read-only mailbox",
    `OK [UIDVALIDITY ${view.uidValidity}] UIDs valid`,
    `OK [UIDNEXT ${view.uidNext}] Predicted next UID`,
    `OK [HIGHESTMODSEQ ${view.highestModseq}] Highest`,
    `OK [MAILBOXID (${mailboxObjectId(mailbox.info)})] Of this mailbox`,
  ];
  for (const line of lines) output.text(`* ${line}\r\n`);
  if (command.qresync?.uidValidity === view.uidValidity) {
    try {
      await resync(selected, command.qresync, output);
    } catch (error) {
      context.unselect();
      throw error;
    }
  }
  return ok(`${command.kind} completed`, writable ? "READ-WRITE" : "READ-ONLY");
}

function unseen(view: MailboxSnapshot): readonly string[] {
  const index = firstUnseen(view);
  return index === undefined ? [] : [`OK [UNSEEN ${index + 1}] First unseen`];
}
