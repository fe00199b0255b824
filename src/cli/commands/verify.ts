/**
 * `mairust verify`: an account here against the same one on another IMAP server. Both are read over IMAP; the result is kept by the
 * service. Exit code 0: equal, 1: different.
 */
import { readFileSync, statSync } from "node:fs";
import type { LoadedConfig } from "../../platform/config/load.ts";
import type { AccountBody } from "../../wire/api/accounts.ts";
import type { VerifyDifference, VerifyMailbox, VerifyResult } from "../../wire/api/transfer.ts";
import { MAX_REPORTED } from "../../wire/transfer.ts";
import type { ImapLogin } from "../../wire/transfer-calls.ts";
import { connect, segment } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { requiredArg, wholeOption } from "../numbers.ts";
import { type Column, printRows } from "../output.ts";
import { progressOf } from "../progress.ts";
import { printable, printableJson } from "../text.ts";
import { recordVerification } from "../transfer-client.ts";
import { mappings } from "./import.ts";

/** Differences that are printed one by one. */
const SHOWN_DIFFERENCES = 20;
const MAX_PASSWORD_BYTES = 4096;
const IMAP_PORT = 143;
const IMAPS_PORT = 993;

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

export async function verify(context: CommandContext): Promise<ExitCode> {
  const { args, options, terminal, load, standalone } = context;
  const asked = requiredArg(args, 0, "the account");
  const against = options.text("against");
  if (against === undefined) throw usageError("--against is missing: imap://user@host or imaps://user@host");
  const shown = wholeOption(options, "limit", SHOWN_DIFFERENCES, { min: 0, max: MAX_REPORTED });
  const maps = mappings(options.texts("map"));
  const progress = progressOf(terminal, options);
  const { client, loaded } = await connect(load);
  const account = (await client.get<AccountBody>(`/api/v1/accounts/${segment(asked)}`)).body.address;
  const there = loginThere(against, account, context);
  const mode = options.has("full") ? "full" : "headers";
  const engines = await standalone.transfer();
  const running = engines.verify({
    here: loginHere(loaded, account),
    there,
    mode,
    maps,
    ignoreUids: options.has("ignoreUids"),
    ignoreDates: options.has("ignoreDates"),
    listed: MAX_REPORTED,
    onProgress: progress.step,
  });
  const result = await running.finally(() => progress.end());
  const equal = result.differences_total === 0;
  const name = `${there.authorize ?? there.user}@${there.host}:${there.port}`;
  await recordVerification(client, { account, against: name, mode, equal, result });
  print(context, result, shown);
  return equal ? EXIT.ok : EXIT.failed;
}

/** @throws {CommandError} 64 */
export function loginThere(
  against: string,
  account: string,
  { options }: CommandContext,
  option = "--against",
): ImapLogin {
  const url = URL.canParse(against) ? new URL(against) : undefined;
  if (url === undefined || !["imap:", "imaps:"].includes(url.protocol) || url.hostname === "")
    throw usageError(`${option} takes imap://user@host:port or imaps://…, not "${printable(against)}"`);
  if (url.password !== "")
    throw usageError("a password does not belong on the command line: use --password-file");
  const secure = url.protocol === "imaps:";
  const mailbox = url.username === "" ? account : decodeURIComponent(url.username);
  const master = options.text("masterUser");
  return {
    host: url.hostname.replace(/^\[|\]$/gu, ""),
    port: url.port === "" ? (secure ? IMAPS_PORT : IMAP_PORT) : Number(url.port),
    secure,
    verifyCertificate: !options.has("insecure"),
    user: master ?? mailbox,
    password: passwordOf(options.text("passwordFile"), "--password-file"),
    authorize: master === undefined ? undefined : mailbox,
  };
}

/** Our own IMAP listener, as Dovecot logs in. @throws {CommandError} 78 */
function loginHere({ config }: LoadedConfig, account: string): ImapLogin {
  const spec = config.imap.listen.map(one => /^inet:(.+):(\d+)$/u.exec(one)).find(one => one !== null);
  if (spec === undefined || spec === null)
    throw new CommandError(EXIT.configuration, "imap.listen has no inet: address to read this side by");
  const host = (spec[1] ?? "").replace(/^\[|\]$/gu, "");
  return {
    host: ["0.0.0.0", "::", "*"].includes(host) ? "127.0.0.1" : host,
    port: Number(spec[2]),
    secure: false,
    verifyCertificate: true,
    user: config.imap.master_user,
    password: passwordOf(config.imap.master_password_file, "imap.master_password_file"),
    authorize: account,
  };
}

/** One line. @throws {CommandError} 64, 66, 77 */
function passwordOf(path: string | undefined, option: string): string {
  if (path === undefined) throw usageError(`${option} is missing: a file with the password`);
  try {
    if (statSync(path).size > MAX_PASSWORD_BYTES)
      throw new CommandError(EXIT.badData, `${option}: "${path}" is too large`);
    const text = readFileSync(path, "utf8").replace(/\r?\n$/u, "");
    if (text !== "" && !/[\r\n\0]/u.test(text)) return text;
    throw new CommandError(EXIT.badData, `${option}: "${path}" must hold one line`);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const exit = code === "EACCES" || code === "EPERM" ? EXIT.notAllowed : EXIT.noInput;
    throw new CommandError(exit, `${option}: cannot read "${path}" (${code})`, error);
  }
}

function print({ terminal, format }: CommandContext, result: VerifyResult, shown: number): void {
  if (format === "json" || format === "jsonl")
    terminal.out(`${printableJson(result, format === "json" ? 2 : undefined)}\n`);
  else printRows(terminal, format, result.mailboxes, COLUMNS);
  const total = result.differences_total;
  const messages = result.mailboxes.reduce((sum, mailbox) => sum + mailbox.messages_there, 0);
  terminal.err(total === 0 ? `equal: ${messages} messages\n` : `different: ${total} differences\n`);
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
