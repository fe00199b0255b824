/** `mairust doctor`: what is wrong with Postfix, Dovecot and our own set-up, why it matters and what to do. Exit 1: there are errors. */
import { loadConfig } from "../../platform/config/load.ts";
import type { AccountBody } from "../../wire/api/accounts.ts";
import { MAX_PAGE_ITEMS } from "../../wire/api/codes.ts";
import type { PageBody } from "../../wire/api/common.ts";
import type { ReadinessBody } from "../../wire/api/system.ts";
import type { SiteFinding, SiteReport, SiteService } from "../../wire/site-calls.ts";
import { type Client, connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { EXIT } from "../exit-codes.ts";
import { bold, type Column, printRows } from "../output.ts";
import { placesOf } from "../site-options.ts";
import type { Terminal } from "../standalone.ts";
import { printable } from "../text.ts";

/** Of domains and of accounts: what lies beyond is not looked at. */
const MAX_PAGES = 100;

const COLUMNS: readonly Column<SiteFinding>[] = [
  { title: "SEVERITY", value: row => row.severity },
  { title: "CODE", value: row => row.code },
  { title: "WHAT", value: row => row.what },
  { title: "CAUSE", value: row => row.cause },
  { title: "FIX", value: row => row.fix },
];

export async function doctor({
  terminal,
  standalone,
  load,
  format,
  options,
}: CommandContext): Promise<number> {
  const { config } = await loadConfig(load);
  const engines = await standalone.site();
  const service = await connect(load)
    .then(({ client }) => askService(client))
    .catch(() => undefined);
  const report = await engines.inspect(config, placesOf(options), service);
  if (format === "table") printReport(terminal, report, service !== undefined);
  else printRows(terminal, format, report.findings, COLUMNS);
  return report.findings.some(one => one.severity === "error") ? EXIT.failed : EXIT.ok;
}

/** @throws {CommandError} it does not run, or this user may not ask it */
async function askService(client: Client): Promise<SiteService> {
  const ready = await client.get<ReadinessBody>("/readyz", { accept: [503] });
  const domains = await allOf<{ readonly name: string; readonly stage: string }>(client, "/api/v1/domains");
  const accounts = await allOf<AccountBody>(client, "/api/v1/accounts");
  return { checks: ready.body.checks, domains, aliases: accounts.flatMap(account => account.aliases) };
}

async function allOf<T>(client: Client, path: string): Promise<readonly T[]> {
  const rows: T[] = [];
  let cursor: string | null = null;
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const page: { readonly body: PageBody<T> } = await client.get<PageBody<T>>(path, {
      query: { limit: MAX_PAGE_ITEMS, ...(cursor === null ? {} : { cursor }) },
    });
    rows.push(...page.body.items);
    cursor = page.body.next_cursor;
    if (cursor === null) break;
  }
  return rows;
}

function printReport(terminal: Terminal, report: SiteReport, isUp: boolean): void {
  const { postfix, dovecot } = report;
  terminal.out(
    `Postfix ${postfix === undefined ? "is not here" : `${postfix.version} in ${postfix.configDir}`}, Dovecot ${
      dovecot === undefined ? "is not here" : `${dovecot.version} in ${dovecot.configFile}`
    }, the service ${isUp ? "answers" : "does not answer"}\n`,
  );
  for (const { severity, code, what, cause, fix } of report.findings)
    terminal.out(
      `\n${bold(terminal, `${severity}: ${printable(what)}`)}  [${code}]\n  because: ${printable(cause)}\n  do: ${printable(fix)}\n`,
    );
  if (report.findings.length === 0) terminal.out("nothing found\n");
}
