/** `mairust export imap`: accounts into another IMAP server. Exit code 1: something failed; 2: mail was expunged meanwhile. */
import { rateLimit } from "../../platform/rate.ts";
import type { ImapExportMailboxReport, ImapExportReport } from "../../wire/transfer-calls.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { asCommandError, EXIT, type ExitCode } from "../exit-codes.ts";
import { eachAccount, parallelOf, rateOf } from "../many-accounts.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printRows } from "../output.ts";
import { progressOf } from "../progress.ts";
import { printable, printableJson, sizeText } from "../text.ts";
import { exportCalls } from "../transfer-client.ts";
import { SHOWN_PROBLEMS } from "./export.ts";
import { mappings } from "./import.ts";
import { type AccountJob, canonical, jobsOf, printAccounts } from "./transfer-accounts.ts";

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
  const { args, options, terminal, load } = context;
  const { jobs, isMany } = jobsOf(requiredArg(args, 0, "the address"), options);
  const dryRun = options.has("dryRun");
  const maps = mappings(options.texts("map"));
  const asked = { maps, dryRun, bytesPerSecond: rateOf(options), expunge: options.has("delete") };
  const parallel = parallelOf(options);
  const progress = progressOf(terminal, options);
  const { client } = await connect(load);
  const engines = await context.standalone.transfer();
  const rate = rateLimit(asked.bytesPerSecond);
  const one = async ({ account, login }: AccountJob, onProgress: typeof progress.step) =>
    engines.exportImap({
      ...asked,
      ...{ account: await canonical(client, account), there: login, rate },
      ...{ calls: exportCalls(client), onProgress },
    });
  const [single] = jobs;
  if (!isMany && single !== undefined) {
    const report = await one(single, progress.step).finally(() => progress.end());
    print(context, report, dryRun);
    return exportExit(report);
  }
  const names = jobs.map(job => job.account);
  const work = (_: string, i: number, onProgress: typeof progress.step) =>
    one(jobs[i] as AccountJob, onProgress);
  const results = await eachAccount(names, parallel, progress, work, asCommandError).finally(() =>
    progress.end(),
  );
  return printAccounts(context, results, COLUMNS, exportExit);
}

function exportExit(report: ImapExportReport): ExitCode {
  const failed = sum(report, m => m.failed);
  return report.changed ? EXIT.changed : failed > 0 ? EXIT.failed : EXIT.ok;
}

function print({ terminal, format }: CommandContext, report: ImapExportReport, dryRun: boolean): void {
  if (format === "json" || format === "jsonl")
    terminal.out(`${printableJson(report, format === "json" ? 2 : undefined)}\n`);
  else printRows(terminal, format, report.mailboxes, MAILBOX_COLUMNS);
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
