/** What `import imap`, `export imap` and `verify` of a domain share: which accounts, their logins, and the report of many. */
import type { AccountBody } from "../../wire/api/accounts.ts";
import { MAX_PAGE_ITEMS } from "../../wire/api/codes.ts";
import type { PageBody } from "../../wire/api/common.ts";
import type { ImapLogin } from "../../wire/transfer-calls.ts";
import { readAccountsFile } from "../accounts-file.ts";
import { type Client, segment } from "../client.ts";
import type { CommandContext, Options } from "../command.ts";
import { CommandError, EXIT, type ExitCode, usageError } from "../exit-codes.ts";
import { hasUser, loginAt } from "../imap-login.ts";
import { type AccountResult, exitCodeOfAll } from "../many-accounts.ts";
import { type Column, printRows } from "../output.ts";
import { printable, printableJson } from "../text.ts";

/** Accounts of a domain that one command takes on. */
const MAX_ACCOUNTS = 100_000;

export interface AccountJob {
  readonly account: string;
  readonly login: ImapLogin;
}

/** Of `--account` or `--accounts`. @throws {CommandError} 64, 65, 66, 77 */
export function jobsOf(
  url: string,
  options: Options,
): { readonly jobs: readonly AccountJob[]; readonly isMany: boolean } {
  const account = options.text("account");
  const file = options.text("accounts");
  if ((account === undefined) === (file === undefined))
    throw usageError("name one account with --account, or several with --accounts FILE.csv");
  if (account !== undefined)
    return { jobs: [{ account, login: loginAt(url, "the address", account, options) }], isMany: false };
  if (hasUser(url, "the address"))
    throw usageError("with --accounts the address names no user: the file says whose mail it is");
  const jobs = readAccountsFile(file ?? "").map(line => {
    try {
      return {
        account: line.account,
        login: loginAt(url, "the address", line.account, options, { user: line.account, ...definedOf(line) }),
      };
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new CommandError(error.exitCode, `${file}:${line.line}: ${error.message}`, error);
    }
  });
  return { jobs, isMany: true };
}

const definedOf = <T extends object>(parts: T): Partial<T> =>
  Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as Partial<T>;

/** As the service writes it. @throws {CommandError} 67 */
export async function canonical(client: Client, account: string): Promise<string> {
  return (await client.get<AccountBody>(`/api/v1/accounts/${segment(account)}`)).body.address;
}

/** All accounts of a domain. @throws {CommandError} 67: there are none */
export async function accountsOf(client: Client, domain: string): Promise<readonly string[]> {
  const accounts: string[] = [];
  let cursor: string | null = null;
  do {
    const page: PageBody<AccountBody> = (
      await client.get<PageBody<AccountBody>>("/api/v1/accounts", {
        query: { domain, limit: MAX_PAGE_ITEMS, ...(cursor === null ? {} : { cursor }) },
      })
    ).body;
    accounts.push(...page.items.map(item => item.address));
    cursor = page.next_cursor;
  } while (cursor !== null && accounts.length < MAX_ACCOUNTS);
  if (accounts.length > 0) return accounts;
  throw new CommandError(EXIT.noUser, `the domain "${domain}" has no accounts`);
}

/** One line per account; JSON has the whole reports. @returns the exit code of all */
export function printAccounts<T>(
  { terminal, format }: CommandContext,
  results: readonly AccountResult<T>[],
  columns: readonly Column<T>[],
  codeOf: (report: T) => ExitCode,
): ExitCode {
  const codes = results.map(({ report, exitCode }) => (report === undefined ? exitCode : codeOf(report)));
  const states = codes.map(code =>
    code === EXIT.ok ? "done" : code === EXIT.changed ? "changed" : "failed",
  );
  const rows = results.map((result, i) => ({ ...result, state: states[i] ?? "failed" }));
  if (format === "json" || format === "jsonl") {
    const bodies = rows.map(({ account, state, error, report }) => ({
      ...{ account, state, error, report: report ?? null },
    }));
    if (format === "json") terminal.out(`${printableJson(bodies, 2)}\n`);
    else terminal.out(bodies.map(body => `${printableJson(body)}\n`).join(""));
  } else {
    printRows(terminal, format, rows, [
      { title: "ACCOUNT", value: row => row.account, min: 12 },
      { title: "STATE", value: row => row.state },
      ...columns.map(
        ({ title, value, right }): Column<(typeof rows)[number]> => ({
          title,
          value: row => (row.report === undefined ? null : value(row.report)),
          ...(right === true ? { right } : {}),
        }),
      ),
      { title: "WHY", value: row => row.error.split("\n")[0] ?? "", min: 8 },
    ]);
  }
  const count = (state: string) => states.filter(one => one === state).length;
  terminal.err(
    `${count("done")} accounts done, ${count("changed")} changed meanwhile, ${count("failed")} failed\n`,
  );
  for (const { account, error } of results)
    if (error !== "") terminal.err(`  ${printable(`${account}: ${error}`)}\n`);
  if (count("changed") > 0) terminal.err("run the same command again for what changed\n");
  return exitCodeOfAll(codes);
}
