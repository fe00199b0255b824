/** `mairust import maildir`: a Maildir into an account. Exit code 1: something failed; 2: the source changed meanwhile, run again. */
import type { ImportMailboxReport, ImportReport } from "../../wire/api/transfer.ts";
import type { FolderMapping } from "../../wire/transfer-calls.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { type ExitCode, usageError } from "../exit-codes.ts";
import { exitOfTransfer } from "../many-accounts.ts";
import { requiredArg } from "../numbers.ts";
import { type Column, printReport } from "../output.ts";
import { progressOf } from "../progress.ts";
import { printable, sizeText } from "../text.ts";
import { importCalls } from "../transfer-client.ts";

/** Files that a table names one by one; `-f json` has more. */
const SHOWN_PROBLEMS = 20;

const COLUMNS: readonly Column<ImportMailboxReport>[] = [
  { title: "SOURCE", value: m => m.source, min: 8 },
  { title: "MAILBOX", value: m => m.mailbox, min: 8 },
  { title: "FOUND", value: m => m.found, right: true },
  { title: "COPIED", value: m => m.copied, right: true },
  { title: "ALREADY", value: m => m.already, right: true },
  { title: "SKIPPED", value: m => m.skipped, right: true },
  { title: "FAILED", value: m => m.failed, right: true },
  { title: "SIZE", value: m => m.copied_bytes, shown: m => sizeText(m.copied_bytes), right: true },
  { title: "FLAGS", value: m => m.flags_updated, right: true },
  { title: "GONE", value: m => m.gone_at_source, right: true },
  { title: "UIDS", value: m => m.uids, shown: m => uidsText(m), min: 6 },
];

const uidsText = ({ uids, uids_reason: reason }: ImportMailboxReport) =>
  reason === "" ? uids : `${uids}: ${reason}`;

export async function maildir(context: CommandContext): Promise<ExitCode> {
  const { args, options, terminal, load } = context;
  const folder = requiredArg(args, 0, "the folder");
  const account = options.text("account");
  if (account === undefined) throw usageError("--account is missing: whose mail is it?");
  const asked = {
    folder,
    account,
    layout: choice(options.text("layout") ?? "maildir++", "layout", ["maildir++", "fs"] as const),
    uids: choice(options.text("uids") ?? "keep", "uids", ["keep", "own"] as const),
    maps: mappings(options.texts("map")),
    final: options.has("final"),
    dryRun: options.has("dryRun"),
  };
  const progress = progressOf(terminal, options);
  const { client } = await connect(load);
  const engines = await context.standalone.transfer();
  const running = engines.importMaildir({ ...asked, calls: importCalls(client), onProgress: progress.step });
  const report = await running.finally(() => progress.end());
  printImport(context, report, asked.dryRun);
  return importExit(report);
}

export function importExit(report: ImportReport): ExitCode {
  return exitOfTransfer(Object.keys(report.failed).length, report.changed);
}

export function choice<T extends string>(text: string, name: string, allowed: readonly T[]): T {
  const known = allowed.find(one => one === text);
  if (known !== undefined) return known;
  throw usageError(`--${name} takes ${allowed.join(" or ")}, not "${text}"`);
}

/** `OLD=NEW`, as often as given. @throws {CommandError} 64 */
export function mappings(texts: readonly string[]): readonly FolderMapping[] {
  return texts.map(text => {
    const at = text.indexOf("=");
    if (at < 1 || at === text.length - 1) throw usageError(`--map takes OLD=NEW, not "${text}"`);
    return { from: text.slice(0, at).normalize("NFC"), to: text.slice(at + 1).normalize("NFC") };
  });
}

export function printImport(
  { terminal, format }: CommandContext,
  report: ImportReport,
  dryRun: boolean,
): void {
  printReport(terminal, format, report, report.mailboxes, COLUMNS);
  const sum = (of: (mailbox: ImportMailboxReport) => number) =>
    report.mailboxes.reduce((total, mailbox) => total + of(mailbox), 0);
  const verb = dryRun ? "would copy" : "copied";
  terminal.err(
    `${verb} ${sum(m => m.copied)} of ${sum(m => m.found)} messages, ${sum(m => m.already)} were there already, ` +
      `${sum(m => m.skipped)} skipped${reasons(report.skipped)}, ${sum(m => m.failed)} failed${reasons(report.failed)}\n`,
  );
  for (const { mailbox, file, reason, detail } of report.problems.slice(0, SHOWN_PROBLEMS))
    terminal.err(`  ${printable(`${mailbox}: ${file}: ${reason} (${detail})`)}\n`);
  if (report.problems.length > SHOWN_PROBLEMS)
    terminal.err(`  and ${report.problems.length - SHOWN_PROBLEMS} more: -f json names them\n`);
  for (const note of report.notes) terminal.err(`note: ${printable(note)}\n`);
  if (report.changed) terminal.err("the source changed meanwhile: run the same command again\n");
}

function reasons(counts: Readonly<Record<string, number>>): string {
  const texts = Object.entries(counts).map(([reason, count]) => `${reason} ${count}`);
  return texts.length === 0 ? "" : ` (${texts.join(", ")})`;
}
