/**
 * `mairust verify`: an account here, or all of a domain, against the same on another IMAP server. Both are read over IMAP; the result is
 * kept by the service, account by account. Exit code 0: equal, 1: different.
 */
import type { VerifyDifference, VerifyMailbox, VerifyResult } from "../../wire/api/transfer.ts";
import { MAX_REPORTED } from "../../wire/transfer.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { asCommandError, EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { hasUser, loginAt, loginHere } from "../imap-login.ts";
import { eachAccount, parallelOf } from "../many-accounts.ts";
import { requiredArg, wholeOption } from "../numbers.ts";
import { type Column, printReport } from "../output.ts";
import { progressOf } from "../progress.ts";
import { printable } from "../text.ts";
import { recordVerification } from "../transfer-client.ts";
import { mappings } from "./import.ts";
import { accountsOf, canonical, printAccounts } from "./transfer-accounts.ts";

/** Differences that are printed one by one. */
const SHOWN_DIFFERENCES = 20;

const COLUMNS: readonly Column<VerifyMailbox>[] = [
  { title: "MAILBOX", value: m => m.mailbox, min: 8 },
  { title: "THERE", value: m => m.there, min: 8 },
  { title: "HERE", value: m => m.messages, right: true },
  { title: "THERE", value: m => m.messages_there, right: true },
  { title: "SAME", value: m => m.same, right: true },
  { title: "MISSING", value: m => m.missing, right: true },
  { title: "EXTRA", value: m => m.extra, right: true },
  { title: "BYTES", value: m => m.bytes_differ, right: true },
  { title: "FLAGS", value: m => m.flags_differ, right: true },
  { title: "DATES", value: m => m.dates_differ, right: true },
  { title: "MATCHED BY", value: m => m.matched_by },
];

const DOMAIN_COLUMNS: readonly Column<VerifyResult>[] = [
  { title: "MESSAGES", value: result => messagesOf(result), right: true },
  { title: "DIFFERENCES", value: result => result.differences_total, right: true },
];

const messagesOf = (result: VerifyResult): number =>
  result.mailboxes.reduce((sum, mailbox) => sum + mailbox.messages_there, 0);

export async function verify(context: CommandContext): Promise<ExitCode> {
  const { args, options, terminal, load, standalone } = context;
  const asked = requiredArg(args, 0, "the account or domain");
  const against = options.text("against");
  if (against === undefined) throw usageError("--against is missing: imap://user@host or imaps://user@host");
  const isDomain = !asked.includes("@");
  const rules = {
    mode: options.has("full") ? ("full" as const) : ("headers" as const),
    maps: mappings(options.texts("map")),
    ignoreUids: options.has("ignoreUids"),
    ignoreDates: options.has("ignoreDates"),
    ignoreTrace: options.has("ignoreTrace"),
    ignoreMarks: options.has("ignoreMarks"),
    listed: MAX_REPORTED,
  };
  const shown = wholeOption(options, "limit", SHOWN_DIFFERENCES, { min: 0, max: MAX_REPORTED });
  const parallel = parallelOf(options);
  if (isDomain && hasUser(against, "--against"))
    throw usageError(
      "for a domain --against names no user: each account is compared with its own name there",
    );
  if (isDomain && options.text("masterUser") === undefined)
    throw usageError("for a domain --master-user is missing: who may read all accounts there");
  const progress = progressOf(terminal, options);
  const { client, loaded } = await connect(load);
  const engines = await standalone.transfer();
  const one = async (account: string, onProgress: typeof progress.step): Promise<VerifyResult> => {
    const there = loginAt(against, "--against", account, options);
    const result = await engines.verify({ here: loginHere(loaded, account), there, ...rules, onProgress });
    const name = `${there.authorize ?? there.user}@${there.host}:${there.port}`;
    const equal = result.differences_total === 0;
    await recordVerification(client, { account, against: name, mode: rules.mode, equal, result });
    return result;
  };
  if (isDomain) {
    const accounts = await accountsOf(client, asked);
    const work = (account: string, _: number, onProgress: typeof progress.step) => one(account, onProgress);
    const results = await eachAccount(accounts, parallel, progress, work, asCommandError);
    progress.end();
    return printAccounts(context, results, DOMAIN_COLUMNS, exitOf);
  }
  const account = await canonical(client, asked);
  const result = await one(account, progress.step).finally(() => progress.end());
  print(context, result, shown);
  return exitOf(result);
}

const exitOf = (result: VerifyResult): ExitCode => (result.differences_total === 0 ? EXIT.ok : EXIT.failed);

function print({ terminal, format }: CommandContext, result: VerifyResult, shown: number): void {
  printReport(terminal, format, result, result.mailboxes, COLUMNS);
  const total = result.differences_total;
  terminal.err(total === 0 ? `equal: ${messagesOf(result)} messages\n` : `different: ${total} differences\n`);
  for (const difference of result.differences.slice(0, shown))
    terminal.err(`  ${printable(lineOf(difference))}\n`);
  if (total > shown) terminal.err(`  and ${total - shown} more: --limit shows others\n`);
}

function lineOf({ mailbox, kind, uid, uid_there: there, detail }: VerifyDifference): string {
  const uids = [
    uid === null ? "" : `UID ${uid}`,
    there === null || there === uid ? "" : `UID ${there} there`,
  ];
  return [`${mailbox}:`, kind, ...uids, `(${detail})`].filter(text => text !== "").join(" ");
}
