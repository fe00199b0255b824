/**
 * SELECT and EXAMINE: both open read-only and say so. Source: RFC 3501 §6.3.1–6.3.2, RFC 8474 §4.2, RFC 9051 §6.3.2.
 */
import { firstUnseen, type MailboxSnapshot } from "../../core/mailbox-snapshot.ts";
import type { ImapCommand } from "./command.ts";
import type { LoggedIn } from "./context.ts";
import { mailboxObjectId, wireMailbox } from "./encode.ts";
import { firstFlagsTold } from "./news.ts";
import { type Completion, ok } from "./reply.ts";

type SelectCommand = Extract<ImapCommand, { kind: "SELECT" | "EXAMINE" }>;

/** @throws {MairustError} `not_found`: then nothing is selected (RFC 3501 §6.3.1) */
export async function select(context: LoggedIn, command: SelectCommand): Promise<Completion> {
  context.unselect();
  const mailbox = await context.reader.open(context.account.id, command.mailbox);
  const view = mailbox.snapshot();
  const flagsTold = firstFlagsTold(view);
  context.selected = { mailbox, view, flagsTold };
  const lines = [
    `FLAGS (${flagsTold.names})`,
    `${view.count} EXISTS`,
    // RFC 9051 Appendix E: neither \\Recent nor UNSEEN once IMAP4rev2 is enabled; its SELECT tells the name (§6.3.2).
    ...(context.enabled.rev2
      ? [`LIST () "/" ${wireMailbox(mailbox.info.name, true)}`]
      : ["0 RECENT", ...unseen(view)]),
    "OK [PERMANENTFLAGS ()] Read-only mailbox",
    `OK [UIDVALIDITY ${view.uidValidity}] UIDs valid`,
    `OK [UIDNEXT ${view.uidNext}] Predicted next UID`,
    `OK [MAILBOXID (${mailboxObjectId(mailbox.info)})] Of this mailbox`,
  ];
  for (const line of lines) context.output.text(`* ${line}\r\n`);
  return ok(`${command.kind} completed`, "READ-ONLY");
}

function unseen(view: MailboxSnapshot): readonly string[] {
  const index = firstUnseen(view);
  return index === undefined ? [] : [`OK [UNSEEN ${index + 1}] First unseen`];
}
