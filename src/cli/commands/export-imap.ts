/** `mairust export imap`: accounts into another IMAP server. Exit code 1: something failed; 2: mail was expunged meanwhile. */
import type { ImapExportMailboxReport, ImapExportReport } from "../../wire/transfer-calls.ts";
import type { CommandContext } from "../command.ts";
import type { ExitCode } from "../exit-codes.ts";
import { type Column, printReport } from "../output.ts";
import { printable, sizeText } from "../text.ts";
import { exportCalls } from "../transfer-client.ts";
import { exportExit, SHOWN_PROBLEMS } from "./export.ts";
import { transferAccounts } from "./imap-accounts.ts";

const MAILBOX_COLUMNS: readonly Column<ImapExportMailboxReport>[] = [
  { title: "MAILBOX", value: m => m.mailbox, min: 8 },
  { title: "FOLDER", value: m => m.folder, min: 8 },
  { title: "FOUND", value: m => m.found, right: true },
  { title: "COPIED", value: m => m.copied, right: true },
  { title: "ALREADY", value: m => m.already, right: true },
  { title: "RECOGNIZED", value: m => m.recognized, right: true },
  { title: "FAILED", value: m => m.failed, right: true },
  { title: "REMOVED THERE", value: m => m.removed_there, right: true },
  { title: "FLAGS", value: m => m.flags_updated, right: true },
  { title: "GONE", value: m => m.gone, right: true },
  { title: "EXPUNGED", value: m => m.expunged, right: true },
  { title: "SIZE", value: m => m.copied_bytes, shown: m => sizeText(m.copied_bytes), right: true },
];

const sum = (report: ImapExportReport, of: (mailbox: ImapExportMailboxReport) => number) =>
  report.mailboxes.reduce((total, mailbox) => total + of(mailbox), 0);

const COLUMNS: readonly Column<ImapExportReport>[] = [
  { title: "FOUND", value: report => sum(report, m => m.found), right: true },
  { title: "COPIED", value: report => sum(report, m => m.copied), right: true },
  { title: "ALREADY", value: report => sum(report, m => m.already), right: true },
  { title: "SKIPPED", value: report => sum(report, m => m.removed_there), right: true },
  { title: "FAILED", value: report => sum(report, m => m.failed), right: true },
  { title: "BYTES", value: report => sum(report, m => m.copied_bytes), right: true },
];

export async function imap(context: CommandContext): Promise<ExitCode> {
  const expunge = context.options.has("delete");
  return transferAccounts(context, {
    run: (engines, client, options) =>
      engines.exportImap({ ...options, expunge, calls: exportCalls(client) }),
    ...{ print, columns: COLUMNS, exitOf: exportExit },
  });
}

function print({ terminal, format }: CommandContext, report: ImapExportReport, dryRun: boolean): void {
  printReport(terminal, format, report, report.mailboxes, MAILBOX_COLUMNS);
  terminal.err(
    `${dryRun ? "would send" : "sent"} ${sum(report, m => m.copied)} of ${sum(report, m => m.found)} messages, ` +
      `${sum(report, m => m.already)} were there already, ${sum(report, m => m.removed_there)} were removed there, ` +
      `${sum(report, m => m.failed)} failed\n`,
  );
  for (const { mailbox, uid, reason } of report.problems.slice(0, SHOWN_PROBLEMS))
    terminal.err(`  ${printable(`${mailbox}/${uid}: ${reason}`)}\n`);
  if (report.problems.length > SHOWN_PROBLEMS)
    terminal.err(`  and ${report.problems.length - SHOWN_PROBLEMS} more: -f json names them\n`);
  for (const note of report.notes) terminal.err(`note: ${printable(note)}\n`);
  if (report.changed) terminal.err("mail was expunged meanwhile: run the same command again\n");
}
