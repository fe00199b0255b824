/** What `import imap` and `export imap` share: one account or many of another server, at one rate and under one progress. */
import { rateLimit } from "../../platform/rate.ts";
import type { ImapTransferOptions, OnProgress, TransferEngines } from "../../wire/transfer-calls.ts";
import { type Client, connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { asCommandError, type ExitCode } from "../exit-codes.ts";
import { eachAccount, parallelOf, rateOf } from "../many-accounts.ts";
import { requiredArg } from "../numbers.ts";
import type { Column } from "../output.ts";
import { progressOf } from "../progress.ts";
import { mappings } from "./import.ts";
import { type AccountJob, canonical, jobsOf, printAccounts } from "./transfer-accounts.ts";

/** One direction. */
export interface ImapTransfer<T> {
  /** One account. */
  run(engines: TransferEngines, client: Client, options: ImapTransferOptions): Promise<T>;
  /** The report of a single account. */
  print(context: CommandContext, report: T, dryRun: boolean): void;
  /** Of a report, in the table of many accounts. */
  readonly columns: readonly Column<T>[];
  exitOf(report: T): ExitCode;
}

/** The accounts that `--account` or `--accounts` name. @throws {CommandError} */
export async function transferAccounts<T>(
  context: CommandContext,
  transfer: ImapTransfer<T>,
): Promise<ExitCode> {
  const { args, options, terminal, load } = context;
  const { jobs, isMany } = jobsOf(requiredArg(args, 0, "the address"), options);
  const dryRun = options.has("dryRun");
  const asked = { maps: mappings(options.texts("map")), dryRun, bytesPerSecond: rateOf(options) };
  const parallel = parallelOf(options);
  const progress = progressOf(terminal, options);
  const { client } = await connect(load);
  const engines = await context.standalone.transfer();
  const rate = rateLimit(asked.bytesPerSecond);
  const one = async ({ account, login }: AccountJob, onProgress: OnProgress) => {
    const own = { account: await canonical(client, account), there: login, rate, onProgress };
    return transfer.run(engines, client, { ...asked, ...own });
  };
  const [single] = jobs;
  if (!isMany && single !== undefined) {
    const report = await one(single, progress.step).finally(() => progress.end());
    transfer.print(context, report, dryRun);
    return transfer.exitOf(report);
  }
  const names = jobs.map(job => job.account);
  const work = (_: string, i: number, onProgress: OnProgress) => one(jobs[i] as AccountJob, onProgress);
  const results = await eachAccount(names, parallel, progress, work, asCommandError).finally(() =>
    progress.end(),
  );
  return printAccounts(context, results, transfer.columns, transfer.exitOf);
}
