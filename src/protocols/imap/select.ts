/**
 * SELECT and EXAMINE. Without a writer of flags both open read-only and say so. Source: RFC 3501 §6.3.1–6.3.2.
 */
import { firstUnseen, type MailboxSnapshot } from "../../core/mailbox-snapshot.ts";
import type { ImapCommand } from "./command.ts";
import type { LoggedIn } from "./context.ts";
import { permanentFlags } from "./encode.ts";
import { firstFlagsTold } from "./news.ts";
import { type Completion, ok } from "./reply.ts";

type SelectCommand = Extract<ImapCommand, { kind: "SELECT" | "EXAMINE" }>;

/** @throws {MairustError} `not_found`: then nothing is selected (RFC 3501 §6.3.1) */
export async function select(context: LoggedIn, command: SelectCommand): Promise<Completion> {
  context.unselect();
  const mailbox = await context.reader.open(context.account.id, command.mailbox);
  const view = mailbox.snapshot();
  const flagsTold = firstFlagsTold(view);
  const writable = command.kind === "SELECT" && context.writer !== undefined;
  context.selected = { mailbox, writable, view, flagsTold };
  const lines = [
    `FLAGS (${flagsTold.names})`,
    `${view.count} EXISTS`,
    "0 RECENT",
    ...unseen(view),
    writable
      ? `OK [PERMANENTFLAGS (${permanentFlags(view.flags)})] Flags that can be changed`
      : "OK [PERMANENTFLAGS ()] Read-only mailbox",
    `OK [UIDVALIDITY ${view.uidValidity}] UIDs valid`,
    `OK [UIDNEXT ${view.uidNext}] Predicted next UID`,
  ];
  for (const line of lines) context.output.text(`* ${line}\r\n`);
  return ok(`${command.kind} completed`, writable ? "READ-WRITE" : "READ-ONLY");
}

function unseen(view: MailboxSnapshot): readonly string[] {
  const index = firstUnseen(view);
  return index === undefined ? [] : [`OK [UNSEEN ${index + 1}] First unseen`];
}
