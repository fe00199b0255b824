/**
 * SEARCH and UID SEARCH: flags from the snapshot, sizes and dates from rows, header keys from header rows, BODY and TEXT
 * from the blobs, each step only for messages the one before could not decide. A message whose blob cannot be read does
 * not match and makes the answer a NO after the results. Source: RFC 3501 §6.4.4, §7.2.5.
 */
import { setImmediate } from "node:timers/promises";
import { type MairustError, toMairustError } from "../../core/errors.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import { readRange } from "./blob-reader.ts";
import type { ImapCommand } from "./command.ts";
import type { InMailbox } from "./context.ts";
import { HeaderText } from "./header-text.ts";
import { ConnectionGone } from "./output.ts";
import { SEARCH_CHARSETS } from "./parse-search.ts";
import { type Completion, completionOf, no, ok } from "./reply.ts";
import { scanContent } from "./search-content.ts";
import { SearchProgram } from "./search-evaluate.ts";
import { lowerBound } from "./sequence-set.ts";

type SearchCommand = Extract<ImapCommand, { kind: "SEARCH" }>;

/** Unreadable messages that one command logs; all are counted. */
const LOGGED_PER_COMMAND = 10;
/** Keys looked at before the event loop gets its turn. */
const EVALUATIONS_PER_SLICE = 200_000;

/** @param nowMs  milliseconds since 1970 */
export async function search(context: InMailbox, command: SearchCommand, nowMs: number): Promise<Completion> {
  const { charset, key } = command.request;
  if (charset !== undefined && !SEARCH_CHARSETS.includes(charset)) {
    return no("Search text must be in one of these", `BADCHARSET (${SEARCH_CHARSETS.join(" ")})`);
  }
  const { view } = context.selected;
  const program = new SearchProgram(key, view, nowMs);
  // Other sessions get their turn between slices.
  const stride = Math.max(1, Math.floor(EVALUATIONS_PER_SLICE / program.size));
  const hits: number[] = [];
  const undecided: number[] = [];
  for (let index = 0; index < view.uids.length; index += 1) {
    if (index % stride === stride - 1) await setImmediate();
    const value = program.matches({ index });
    if (value === true) hits.push(index);
    else if (value === undefined) undecided.push(index);
  }
  const failure = undecided.length === 0 ? undefined : await searchRows(context, program, undecided, hits);
  hits.sort((a, b) => a - b);
  await writeHits(context, hits, command.uid);
  return failure === undefined ? ok("SEARCH completed") : completionOf(failure);
}

/** @returns the first failure to read a message */
async function searchRows(
  context: InMailbox,
  program: SearchProgram,
  undecided: readonly number[],
  hits: number[],
): Promise<MairustError | undefined> {
  const { view } = context.selected;
  const uids = Uint32Array.from(undecided, index => view.uids[index] ?? 0);
  const fields = {
    header: program.needsHeader,
    prefix: program.needsHeader,
    structure: program.contentKeys.length > 0,
  };
  let failure: MairustError | undefined;
  let unreadable = 0;
  for await (const page of context.reader.rows(view.mailboxId, uids, fields)) {
    for (const row of page) {
      if (context.gone.aborted) throw new ConnectionGone();
      const index = lowerBound(view.uids, row.uid);
      try {
        if (await matchesRow(context, program, index, row)) hits.push(index);
      } catch (error) {
        unreadable += 1;
        const reported = reportUnreadable(context, row, error, unreadable <= LOGGED_PER_COMMAND);
        failure ??= reported;
      }
    }
  }
  return failure;
}

async function matchesRow(
  context: InMailbox,
  program: SearchProgram,
  index: number,
  row: MessageRow,
): Promise<boolean> {
  const byRow = program.matches({ index, row });
  if (byRow !== undefined) return byRow;
  const header = program.needsHeader ? await headerOf(context, row) : undefined;
  const facts = header === undefined ? { index, row } : { index, row, header };
  const byHeader = program.matches(facts);
  if (byHeader !== undefined) return byHeader;
  const content = await scanContent(context.blobs, row, header, program.contentKeys);
  return program.matches({ ...facts, content }) ?? false;
}

async function headerOf(context: InMailbox, row: MessageRow): Promise<HeaderText> {
  const range = { start: 0, end: row.headerBytes };
  const header = row.header ?? (await readRange(context.blobs, row.blob, range, context.limits.headerBytes));
  return new HeaderText(Buffer.concat([row.prefix ?? new Uint8Array(0), header]));
}

function reportUnreadable(context: InMailbox, row: MessageRow, thrown: unknown, log: boolean): MairustError {
  const error = toMairustError(thrown, `search message of UID ${row.uid}`);
  context.metrics.unreadable("refused");
  if (!log) return error;
  context.log.error("imap message cannot be searched", {
    account: context.account.address,
    uid: row.uid,
    id: row.messageId,
    blob: row.blob,
    error,
  });
  return error;
}

async function writeHits(context: InMailbox, hits: readonly number[], uid: boolean): Promise<void> {
  const { output, selected } = context;
  output.text("* SEARCH");
  for (const index of hits) {
    output.text(` ${uid ? selected.view.uids[index] : index + 1}`);
    const waiting = output.pressure();
    if (waiting !== undefined) await waiting;
  }
  output.text("\r\n");
}
