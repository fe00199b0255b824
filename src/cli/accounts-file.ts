/**
 * A CSV file (RFC 4180) of accounts that are moved together. Its first line names the columns, in any order:
 *   account        the account here; the only one that must be there
 *   user           whose mail it is there; default: the account
 *   password_file  with the password, its path relative to the CSV file; default: --password-file
 *   token_file     with an OAuth2 access token instead
 *   master_user    who logs in there; default: --master-user, unless the line has a password or token of its own
 * Empty fields count as not given, empty lines and lines that begin with `#` are left out.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CommandError, EXIT } from "./exit-codes.ts";
import type { LoginParts } from "./imap-login.ts";
import { printable } from "./text.ts";

const MAX_FILE_BYTES = 16 * 1024 * 1024;
const MAX_ACCOUNTS = 100_000;
/** Faults that are named one by one. */
const SHOWN_FAULTS = 20;

const COLUMNS = ["account", "user", "password_file", "token_file", "master_user"] as const;
type ColumnName = (typeof COLUMNS)[number];

export interface AccountLine extends LoginParts {
  readonly line: number;
  readonly account: string;
}

/** @throws {CommandError} 65 with line numbers, 66 */
export function readAccountsFile(path: string): readonly AccountLine[] {
  let text: string;
  try {
    if (statSync(path).size > MAX_FILE_BYTES) throw new CommandError(EXIT.badData, `"${path}" is too large`);
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    throw new CommandError(EXIT.noInput, `cannot read "${path}" (${code})`, error);
  }
  const { accounts, faults } = parseAccounts(text.replace(/^\ufeff/u, ""), dirname(path));
  if (faults.length === 0) return accounts;
  const shown = faults.slice(0, SHOWN_FAULTS).map(fault => `  ${printable(`${path}:${fault}`)}`);
  const more = faults.length > SHOWN_FAULTS ? [`  and ${faults.length - SHOWN_FAULTS} more`] : [];
  throw new CommandError(EXIT.badData, ["the list of accounts has faults:", ...shown, ...more].join("\n"));
}

/** @param dir  where relative paths begin. @returns faults as `LINE: what` */
export function parseAccounts(
  text: string,
  dir: string,
): { readonly accounts: readonly AccountLine[]; readonly faults: readonly string[] } {
  const faults: string[] = [];
  const records = [...csvRecords(text, fault => faults.push(fault))];
  const [head, ...rows] = records;
  if (head === undefined)
    return { accounts: [], faults: [...faults, "1: there is no line with column names"] };
  const columns = head.fields.map(field => field.trim().toLowerCase());
  for (const name of columns)
    if (!isColumn(name))
      faults.push(`${head.line}: no such column "${name}"; there are ${COLUMNS.join(", ")}`);
  if (!columns.includes("account")) faults.push(`${head.line}: there is no column "account"`);
  if (new Set(columns).size < columns.length) faults.push(`${head.line}: a column is there twice`);
  if (faults.length > 0) return { accounts: [], faults };
  const seen = new Map<string, number>();
  const accounts = rows.flatMap(({ line, fields }) => {
    if (fields.length !== columns.length) {
      faults.push(`${line}: ${fields.length} fields, not ${columns.length}`);
      return [];
    }
    const account = accountOf(new Map(columns.map((name, i) => [name, fields[i]?.trim() ?? ""])), line, dir);
    const fault = faultOf(account, seen);
    if (fault !== undefined) faults.push(`${line}: ${fault}`);
    seen.set(account.account.toLowerCase(), line);
    return [account];
  });
  if (accounts.length > MAX_ACCOUNTS)
    faults.push(`${accounts.at(-1)?.line}: more than ${MAX_ACCOUNTS} accounts`);
  if (rows.length === 0) faults.push(`${head.line}: there are no accounts below it`);
  return { accounts, faults };
}

const isColumn = (name: string): name is ColumnName => COLUMNS.some(known => known === name);

function accountOf(values: ReadonlyMap<string, string>, line: number, dir: string): AccountLine {
  const text = (name: ColumnName) => values.get(name) || undefined;
  const file = (name: ColumnName) => {
    const path = text(name);
    return path === undefined ? undefined : resolve(dir, path);
  };
  return {
    line,
    account: values.get("account") ?? "",
    user: text("user"),
    passwordFile: file("password_file"),
    tokenFile: file("token_file"),
    masterUser: text("master_user"),
  };
}

function faultOf(account: AccountLine, seen: ReadonlyMap<string, number>): string | undefined {
  if (account.account === "") return "the account is empty";
  const before = seen.get(account.account.toLowerCase());
  if (before !== undefined) return `"${account.account}" is in line ${before} already`;
  if (account.passwordFile !== undefined && account.tokenFile !== undefined)
    return "both password_file and token_file";
  return undefined;
}

interface CsvRecord {
  readonly line: number;
  readonly fields: readonly string[];
}

/** RFC 4180: a field in quotes may hold commas, line ends and doubled quotes. */
function* csvRecords(text: string, onFault: (fault: string) => void): Iterable<CsvRecord> {
  const field = /"((?:[^"]|"")*)"(?=,|\r?\n|$)|([^",\r\n]*)(?=,|\r?\n|$)/uy;
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const first = line;
    const fields: string[] = [];
    for (;;) {
      field.lastIndex = at;
      const match = field.exec(text);
      if (match === null) {
        onFault(`${line}: a quote is not where one may be`);
        return;
      }
      fields.push(match[1] === undefined ? (match[2] ?? "") : match[1].replaceAll('""', '"'));
      line += match[0].split("\n").length - 1;
      at += match[0].length;
      if (text[at] !== ",") break;
      at += 1;
    }
    at += text[at] === "\r" ? 2 : 1;
    line += 1;
    const isEmpty = fields.length === 1 && fields[0]?.trim() === "";
    if (!isEmpty && fields[0]?.startsWith("#") !== true) yield { line: first, fields };
  }
}
