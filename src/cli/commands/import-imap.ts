/** `mairust import imap`: accounts of another IMAP server. Exit code 1: something failed; 2: the source changed meanwhile, run again. */
import { rateLimit } from "../../platform/rate.ts";
import type { ImportReport } from "../../wire/api/transfer.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { asCommandError, type ExitCode } from "../exit-codes.ts";
import { eachAccount, parallelOf, rateOf } from "../many-accounts.ts";
import { requiredArg } from "../numbers.ts";
import type { Column } from "../output.ts";
import { progressOf } from "../progress.ts";
import { importCalls } from "../transfer-client.ts";
import { choice, importExit, mappings, printImport } from "./import.ts";
import { type AccountJob, canonical, jobsOf, printAccounts } from "./transfer-accounts.ts";

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
  const { args, options, terminal, load } = context;
  const { jobs, isMany } = jobsOf(requiredArg(args, 0, "the address"), options);
  const dryRun = options.has("dryRun");
  const asked = {
    uids: choice(options.text("uids") ?? "keep", "uids", ["keep", "own"] as const),
    maps: mappings(options.texts("map")),
    ...{ final: false, dryRun, bytesPerSecond: rateOf(options) },
  };
  const parallel = parallelOf(options);
  const progress = progressOf(terminal, options);
  const { client } = await connect(load);
  const engines = await context.standalone.transfer();
  const rate = rateLimit(asked.bytesPerSecond);
  const one = async ({ account, login }: AccountJob, onProgress: typeof progress.step) =>
    engines.importImap({
      ...asked,
      ...{ account: await canonical(client, account), there: login, rate },
      ...{ calls: importCalls(client), onProgress },
    });
  const [single] = jobs;
  if (!isMany && single !== undefined) {
    const report = await one(single, progress.step).finally(() => progress.end());
    printImport(context, report, dryRun);
    return importExit(report);
  }
  const names = jobs.map(job => job.account);
  const work = (_: string, i: number, onProgress: typeof progress.step) =>
    one(jobs[i] as AccountJob, onProgress);
  const results = await eachAccount(names, parallel, progress, work, asCommandError).finally(() =>
    progress.end(),
  );
  return printAccounts(context, results, COLUMNS, importExit);
}
