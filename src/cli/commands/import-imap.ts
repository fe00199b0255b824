/** `mairust import imap`: accounts of another IMAP server. Exit code 1: something failed; 2: the source changed meanwhile, run again. */
import type { ImportReport } from "../../wire/api/transfer.ts";
import type { CommandContext } from "../command.ts";
import type { ExitCode } from "../exit-codes.ts";
import type { Column } from "../output.ts";
import { importCalls } from "../transfer-client.ts";
import { transferAccounts } from "./imap-accounts.ts";
import { choice, importExit, printImport } from "./import.ts";

const sum = (
  report: ImportReport,
  key: "found" | "copied" | "already" | "skipped" | "failed" | "copied_bytes",
) => report.mailboxes.reduce((total, mailbox) => total + mailbox[key], 0);

const reasons = (report: ImportReport): string =>
  Object.entries({ ...report.skipped, ...report.failed })
    .map(([reason, count]) => `${reason} ${count}`)
    .join(", ");

const COLUMNS: readonly Column<ImportReport>[] = [
  { title: "FOUND", value: report => sum(report, "found"), right: true },
  { title: "COPIED", value: report => sum(report, "copied"), right: true },
  { title: "ALREADY", value: report => sum(report, "already"), right: true },
  { title: "SKIPPED", value: report => sum(report, "skipped"), right: true },
  { title: "FAILED", value: report => sum(report, "failed"), right: true },
  { title: "BYTES", value: report => sum(report, "copied_bytes"), right: true },
  { title: "REASONS", value: reasons },
];

export async function imap(context: CommandContext): Promise<ExitCode> {
  const uids = choice(context.options.text("uids") ?? "keep", "uids", ["keep", "own"] as const);
  return transferAccounts(context, {
    run: (engines, client, options) =>
      engines.importImap({ ...options, uids, final: false, calls: importCalls(client) }),
    ...{ print: printImport, columns: COLUMNS, exitOf: importExit },
  });
}
