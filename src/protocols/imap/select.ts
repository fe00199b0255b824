/**
 * SELECT and EXAMINE: both open read-only and say so. Source: RFC 3501 §6.3.1–6.3.2.
 */
import type { MailboxSnapshot } from "../../core/ports/mailboxes.ts";
import { FLAG_SEEN } from "../../core/ports/store.ts";
import type { LoggedIn } from "./context.ts";
import { knownFlags } from "./encode.ts";
import { type Completion, ok } from "./reply.ts";

/** @throws {MairustError} `not_found`: then nothing is selected (RFC 3501 §6.3.1) */
export async function select(
  context: LoggedIn,
  command: { readonly kind: "SELECT" | "EXAMINE"; readonly mailbox: string },
): Promise<Completion> {
  context.unselect();
  const mailbox = await context.reader.open(context.account.id, command.mailbox);
  const view = mailbox.snapshot();
  const knownSets = view.flagSets.length;
  context.selected = { mailbox, view, knownSets };
  const lines = [
    `FLAGS (${knownFlags(view.flagSets)})`,
    `${view.uids.length} EXISTS`,
    "0 RECENT",
    ...firstUnseen(view),
    "OK [PERMANENTFLAGS ()] Read-only mailbox",
    `OK [UIDVALIDITY ${view.uidValidity}] UIDs valid`,
    `OK [UIDNEXT ${view.uidNext}] Predicted next UID`,
  ];
  for (const line of lines) context.output.text(`* ${line}\r\n`);
  return ok(`${command.kind} completed`, "READ-ONLY");
}

function firstUnseen(view: MailboxSnapshot): readonly string[] {
  const seen = view.flagSets.map(set => (set.system & FLAG_SEEN) !== 0);
  const index = view.flagIds.findIndex(id => seen[id] !== true);
  return index < 0 ? [] : [`OK [UNSEEN ${index + 1}] First unseen`];
}
