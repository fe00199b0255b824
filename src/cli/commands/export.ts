/** `mairust export maildir`: an account into a Maildir. Exit code 1: something failed; 2: mail was expunged meanwhile. */
import type { AccountBody } from "../../wire/api/accounts.ts";
import type { ExportMailboxReport, ExportReport } from "../../wire/transfer-calls.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { type ExitCode, usageError } from "../exit-codes.ts";
import { exitOfTransfer } from "../many-accounts.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printReport } from "../output.ts";
import { progressOf } from "../progress.ts";
import { printable, sizeText } from "../text.ts";
import { exportCalls } from "../transfer-client.ts";

/** Messages that are named one by one; `-f json` has more. */
export const SHOWN_PROBLEMS = 20;

const COLUMNS: readonly Column<ExportMailboxReport>[] = [
  { title: "MAILBOX", value: m => m.mailbox, min: 8 },
  { title: "FOUND", value: m => m.found, right: true },
  { title: "COPIED", value: m => m.copied, right: true },
  { title: "ALREADY", value: m => m.already, right: true },
  { title: "FAILED", value: m => m.failed, right: true },
  { title: "GONE", value: m => m.gone, right: true },
  { title: "SIZE", value: m => m.copied_bytes, shown: m => sizeText(m.copied_bytes), right: true },
  { title: "FOLDER", value: m => m.folder, min: 12 },
];

export async function maildir({
  args,
  options,
  terminal,
  format,
  load,
  standalone,
}: CommandContext): Promise<ExitCode> {
  const folder = requiredArg(args, 0, "the folder");
  const asked = options.text("account");
  if (asked === undefined) throw usageError("--account is missing: whose mail is it?");
  const owner = ownerOf(options.text("owner"));
  const dryRun = options.has("dryRun");
  const progress = progressOf(terminal, options);
  const { client } = await connect(load);
  const account = (await client.get<AccountBody>(`/api/v1/accounts/${segment(asked)}`)).body.address;
  const engines = await standalone.transfer();
  const calls = exportCalls(client);
  const running = engines.exportMaildir({ folder, account, owner, dryRun, calls, onProgress: progress.step });
  const report = await running.finally(() => progress.end());
  printReport(terminal, format, report, report.mailboxes, COLUMNS);
  const sum = (of: (mailbox: ExportMailboxReport) => number) =>
    report.mailboxes.reduce((total, mailbox) => total + of(mailbox), 0);
  const failed = sum(m => m.failed);
  terminal.err(
    `${dryRun ? "would write" : "wrote"} ${sum(m => m.copied)} of ${sum(m => m.found)} messages, ` +
      `${sum(m => m.already)} were there already, ${failed} failed\n`,
  );
  for (const { mailbox, uid, reason } of report.problems.slice(0, SHOWN_PROBLEMS))
    terminal.err(`  ${printable(`${mailbox}/${uid}: ${reason}`)}\n`);
  for (const note of report.notes) terminal.err(`note: ${printable(note)}\n`);
  if (report.changed) terminal.err("mail was expunged meanwhile: run the same command again\n");
  return exportExit(report);
}

export function exportExit({ mailboxes, changed }: Pick<ExportReport, "mailboxes" | "changed">): ExitCode {
  return exitOfTransfer(
    mailboxes.reduce((sum, { failed }) => sum + failed, 0),
    changed,
  );
}

/** `UID:GID` in numbers. @throws {CommandError} 64 */
function ownerOf(text: string | undefined) {
  if (text === undefined) return undefined;
  const match = /^(\d{1,10}):(\d{1,10})$/u.exec(text);
  if (match === null) throw usageError(`--owner takes UID:GID in numbers, not "${text}"`);
  return { uid: Number(match[1]), gid: Number(match[2]) };
}
