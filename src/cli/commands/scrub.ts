/**
 * `mairust scrub`: checks everything that is stored, through the API, line by line. Exit 0 when nothing is wrong, 1 with findings;
 * a run that was broken off ends with the code of its reason, and says from where to go on.
 */
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { MAX_SCRUB_MB_PER_S } from "../../wire/api/codes.ts";
import type { ScrubCountsBody, ScrubLine } from "../../wire/api/scrub.ts";
import { connect } from "../client.ts";
import type { CommandContext } from "../command.ts";
import { CommandError, EXIT, exitCodeOf } from "../exit-codes.ts";
import { wholeOption } from "../numbers.ts";
import { type Column, printRecord, printRows } from "../output.ts";
import type { Terminal } from "../standalone.ts";
import { printable, printableJson, sizeText } from "../text.ts";

type Finding = Pick<Extract<ScrubLine, { kind: "finding" }>, "finding" | "subject" | "detail">;

/** Findings held for a table or a JSON document; `jsonl` has no limit. */
const MAX_HELD = 100_000;

const FINDING_COLUMNS: readonly Column<Finding>[] = [
  { title: "FINDING", value: f => f.finding },
  { title: "OF", value: f => f.subject, min: 12 },
  { title: "DETAIL", value: f => f.detail, min: 20 },
];

const COUNT_COLUMNS: readonly Column<ScrubCountsBody>[] = [
  { title: "blobs", value: c => c.blobs },
  { title: "hashed", value: c => c.hashed_bytes, shown: c => sizeText(c.hashed_bytes) },
  { title: "messages", value: c => c.messages },
  { title: "mailboxes", value: c => c.mailboxes },
  { title: "accounts", value: c => c.accounts },
  { title: "blobs without a message", value: c => c.unreferenced_blobs },
  { title: "blobs being collected", value: c => c.collecting_blobs },
  { title: "files without a blob", value: c => c.extra_files },
  { title: "their size", value: c => c.extra_bytes, shown: c => sizeText(c.extra_bytes) },
  { title: "files not committed yet", value: c => c.young_files },
  { title: "files with strange names", value: c => c.strange_files },
  { title: "temporary files", value: c => c.temporary_files },
  { title: "findings", value: c => c.findings },
];

interface Run {
  readonly findings: readonly Finding[];
  readonly counts: ScrubCountsBody;
}

export async function scrub(context: CommandContext): Promise<number> {
  const { terminal, format, options, load } = context;
  const rate = wholeOption(options, "rate", 0, { min: 0, max: MAX_SCRUB_MB_PER_S });
  const { client } = await connect(load);
  const query = {
    quick: options.has("quick"),
    after: options.text("after"),
    mb_per_s: rate === 0 ? undefined : rate,
  };
  const { body } = await client.stream("/api/v1/admin/scrub", { query }, "POST");
  const { findings, counts } = await follow(terminal, body, format === "jsonl");
  if (format === "json") terminal.out(`${printableJson({ findings, counts }, 2)}\n`);
  else if (format !== "jsonl") {
    if (findings.length > 0) printRows(terminal, format, findings, FINDING_COLUMNS);
    if (format === "table") printRecord(terminal, format, counts, COUNT_COLUMNS);
    if (counts.findings > findings.length) terminal.err(`not all of ${counts.findings} findings are shown: use -f jsonl\n`);
  }
  return counts.findings === 0 ? EXIT.ok : EXIT.failed;
}

/** Read to the end. @param pass  print each line but progress as it comes. @throws {CommandError} it did not come to its end */
async function follow(terminal: Terminal, body: Readable, pass: boolean): Promise<Run> {
  const findings: Finding[] = [];
  let after: string | null = null;
  const goOn = () => (after === null ? "" : `; go on with --after ${after}`);
  try {
    for await (const text of createInterface({ input: body })) {
      const line = JSON.parse(text) as ScrubLine;
      if (line.kind === "failed")
        throw new CommandError(exitCodeOf(line.code), `the scrub ended early: ${printable(line.detail)}${goOn()}`);
      if (pass && line.kind !== "progress") terminal.out(`${printableJson(line)}\n`);
      if (line.kind === "done") return { findings, counts: line.counts };
      if (line.kind === "progress") {
        after = line.after;
        if (terminal.canAsk) terminal.err(`\r${progressText(line.counts)}\u001b[K`);
      } else if (!pass && findings.length < MAX_HELD) {
        findings.push({ finding: line.finding, subject: line.subject, detail: line.detail });
      }
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(EXIT.tryLater, `the service broke off the scrub${goOn()}`, error);
  } finally {
    if (terminal.canAsk) terminal.err("\r\u001b[K");
  }
  throw new CommandError(EXIT.tryLater, `the service broke off the scrub${goOn()}`);
}

function progressText(counts: ScrubCountsBody): string {
  const { blobs, hashed_bytes: bytes, messages, findings } = counts;
  return `${blobs} blobs, ${sizeText(bytes)} hashed, ${messages} messages, ${findings} findings`;
}
