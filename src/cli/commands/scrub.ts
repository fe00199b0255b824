/** `mairust scrub`: reads every blob again and compares the rows with each other. Exit 1 when something is wrong. */
import { createInterface } from "node:readline";
import type { FindingBody, ScrubLine, ScrubSummaryBody } from "../../wire/api/scrub.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT } from "../exit-codes.ts";
import { type Column, printRows } from "../output.ts";

/** Findings kept for the list; past it they are counted. */
const MAX_LISTED = 1_000;

const COLUMNS: readonly Column<FindingBody>[] = [
  { title: "KIND", value: finding => finding.kind },
  { title: "SUBJECT", value: finding => finding.subject, min: 20 },
  { title: "DETAIL", value: finding => finding.detail },
];

export async function scrub({ options, terminal, format, load }: CommandContext): Promise<number> {
  const { client } = await connect(load);
  const { body } = await client.stream("/api/v1/admin/scrub", { query: { quick: options.has("quick") } });
  const findings: FindingBody[] = [];
  let summary: ScrubSummaryBody | undefined;
  for await (const text of createInterface({ input: body })) {
    const line = JSON.parse(text) as ScrubLine;
    if ("failed" in line) throw new CommandError(EXIT.tryLater, `the scrub could not go on: ${line.failed}`);
    if ("summary" in line) summary = line.summary;
    if ("finding" in line && findings.length < MAX_LISTED) findings.push(line.finding);
    if ("progress" in line && terminal.isTerminal)
      terminal.err(`\r${line.progress.done} of ${line.progress.total} blobs `);
  }
  if (summary === undefined) throw new CommandError(EXIT.tryLater, "the service broke off the scrub");
  if (terminal.isTerminal) terminal.err("\r");
  printRows(terminal, format, findings, COLUMNS);
  const { blobs, hashed, messages, files_without_row: files } = summary;
  terminal.err(
    `${summary.findings === 0 ? "clean" : `${summary.findings} findings`}: ${messages} messages, ${blobs} blobs (${hashed} read), ` +
      `${files} files without a row\n`,
  );
  return summary.findings === 0 ? 0 : EXIT.failed;
}
