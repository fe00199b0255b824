/**
 * What a command that would change mail is told, all of them or all but STORE. Source: RFC 5530 (NOPERM), RFC 6851 (MOVE); `store-imap` spec §5.
 */
import type { WriteName } from "./command.ts";
import type { ImapParts } from "./context.ts";
import { type Completion, no, oneLine } from "./reply.ts";

const SUBJECTS: Readonly<Record<WriteName | "STORE", string>> = {
  APPEND: "Messages cannot be saved here",
  COPY: "Messages cannot be copied here",
  CREATE: "Mailboxes cannot be created here",
  DELETE: "Mailboxes cannot be deleted here",
  EXPUNGE: "Messages cannot be deleted here",
  MOVE: "Messages cannot be moved here",
  RENAME: "Mailboxes cannot be renamed here",
  STORE: "Flags cannot be changed here",
  "UID EXPUNGE": "Messages cannot be deleted here",
};

const DEFAULT_HINT = "save and change mail in the mail server's own mailboxes (Local/)";

/** Write commands that need a selected mailbox. */
export const NEED_MAILBOX: ReadonlySet<WriteName> = new Set<WriteName>([
  "COPY",
  "EXPUNGE",
  "MOVE",
  "UID EXPUNGE",
]);

export function refuseWrite(
  { config, writer }: Pick<ImapParts, "config" | "writer">,
  name: WriteName | "STORE",
): Completion {
  const hint = oneLine(config.readOnlyHint ?? DEFAULT_HINT);
  const why = writer === undefined ? "mail is read-only over IMAP" : "only flags can be changed over IMAP";
  return no(`${SUBJECTS[name]}, ${why}: ${hint}`, "NOPERM");
}
