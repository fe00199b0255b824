/**
 * Which messages a search finds: flags from the snapshot, texts that cannot be there from the index, sizes and dates from rows,
 * header keys from header rows, BODY and TEXT from the blobs, each step only for messages the one before could not decide. A
 * message whose blob cannot be read does not match. SEARCH uses it, and whatever else begins with a search.
 * Source: RFC 3501 §6.4.4.
 */
import { type MairustError, toMairustError } from "../../core/errors.ts";
import { indexOfUid, SnapshotCursor } from "../../core/mailbox-snapshot.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import type { Steps } from "../../core/steps.ts";
import { inSlices } from "../../platform/slices.ts";
import { readRange } from "./blob-reader.ts";
import { enableCondstore } from "./condstore.ts";
import type { InMailbox } from "./context.ts";
import { readHeader } from "./header-text.ts";
import { IndexList } from "./index-list.ts";
import { ConnectionGone } from "./output.ts";
import { SEARCH_CHARSETS, type SearchRequest } from "./parse-search.ts";
import { type Completion, no } from "./reply.ts";
import { scanContent } from "./search-content.ts";
import { SearchProgram } from "./search-evaluate.ts";
import { askIndex } from "./search-index.ts";
import { savedRanges } from "./sequence-set.ts";

/** Unreadable messages that one command logs; all are counted. */
const LOGGED_PER_COMMAND = 10;
/** Keys looked at in one step. A set of numbers takes longer than others: it is searched. */
const EVALUATIONS_PER_STEP = 4096;

export interface Matches {
  /** Ascending, into the view. */
  readonly indexes: Uint32Array;
  /** A key asks for MODSEQs: the answer tells the highest (RFC 7162 §3.1.5). */
  readonly asksModseq: boolean;
  /** The first failure to read a message: the answer is a NO after the results. */
  readonly failure: MairustError | undefined;
}

/** The answer to search text in a charset that nobody knows (RFC 3501 §6.4.4), or undefined. */
export function charsetRefusal({ charset }: SearchRequest): Completion | undefined {
  if (charset === undefined || SEARCH_CHARSETS.includes(charset)) return undefined;
  return no("Search text must be in one of these", `BADCHARSET (${SEARCH_CHARSETS.join(" ")})`);
}

/** Indexes that the event loop's other users do not wait for. */
type Slices = (work: (at: number) => void, count: number) => Promise<void>;

/**
 * @param nowMs  milliseconds since 1970
 * @throws {ConnectionGone}
 */
export async function runSearch(context: InMailbox, request: SearchRequest, nowMs: number): Promise<Matches> {
  const { view } = context.selected;
  const saved = await inSlices(savedRanges(context.selected.saved));
  const program = new SearchProgram(request.key, view, saved, nowMs);
  if (program.asksModseq) enableCondstore(context);
  const slices = slicesOf(context, program);
  const hits = new IndexList();
  const undecided = new IndexList();
  await slices(index => {
    const value = program.matches({ index });
    if (value === true) hits.add(index);
    else if (value === undefined) undecided.add(index);
  }, view.count);
  const open = await withoutRuledOut(context, program, slices, undecided.sorted(), hits);
  const failure = open.length === 0 ? undefined : await searchRows(context, program, open, hits);
  return { indexes: hits.sorted(), asksModseq: program.asksModseq, failure };
}

/** Other sessions get their turn between slices, and a search ends with its client. */
function slicesOf({ gone }: InMailbox, program: SearchProgram): Slices {
  const stride = Math.max(1, Math.floor(EVALUATIONS_PER_STEP / program.size));
  function* steps(work: (at: number) => void, count: number): Steps<void> {
    for (let at = 0; at < count; at += 1) {
      if (at % stride === stride - 1) {
        yield;
        if (gone.aborted) throw new ConnectionGone();
      }
      work(at);
    }
  }
  return (work, count) => inSlices(steps(work, count));
}

/** @returns those of `undecided` that the index does not decide either; `hits` gets what it finds, be it by NOT */
async function withoutRuledOut(
  context: InMailbox,
  program: SearchProgram,
  slices: Slices,
  undecided: Uint32Array,
  hits: IndexList,
): Promise<Uint32Array> {
  if (undecided.length === 0 || program.textKeys.length === 0) return undecided;
  const ruledOut = await askIndex(context, program.textKeys, uidsOf(context, undecided));
  if (ruledOut === undefined) return undecided;
  const open = new IndexList();
  await slices(at => {
    const index = undecided[at] ?? 0;
    const value = program.matches({ index, lacks: key => ruledOut.lacks(key, at) });
    if (value === true) hits.add(index);
    else if (value === undefined) open.add(index);
  }, undecided.length);
  return open.sorted();
}

function uidsOf(context: InMailbox, indexes: Uint32Array): Uint32Array {
  const messages = new SnapshotCursor(context.selected.view);
  return indexes.map(index => messages.uid(index));
}

/** @returns the first failure to read a message */
async function searchRows(
  context: InMailbox,
  program: SearchProgram,
  undecided: Uint32Array,
  hits: IndexList,
): Promise<MairustError | undefined> {
  const { view } = context.selected;
  const uids = uidsOf(context, undecided);
  const fields = {
    header: program.needsHeader,
    prefix: program.needsHeader,
    structure: program.contentKeys.length > 0,
    objectIds: program.needsObjectIds,
  };
  let failure: MairustError | undefined;
  let unreadable = 0;
  for await (const page of context.reader.rows(view.mailboxId, uids, fields)) {
    for (const row of page) {
      if (context.gone.aborted) throw new ConnectionGone();
      const index = indexOfUid(view, row.uid);
      try {
        if (await matchesRow(context, program, index, row)) hits.add(index);
      } catch (error) {
        if (context.gone.aborted) throw new ConnectionGone();
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
  const block = program.needsHeader ? await headerOf(context, row) : new Uint8Array(0);
  const header = await inSlices(readHeader(block, program.headerKeys), context.gone);
  const facts = { index, row, header };
  const byHeader = program.matches(facts);
  if (byHeader !== undefined) return byHeader;
  const content = await scanContent(context.blobs, row, block, program.contentKeys, context.gone);
  return program.matches({ ...facts, content }) ?? false;
}

async function headerOf(context: InMailbox, row: MessageRow): Promise<Uint8Array> {
  const range = { start: 0, end: row.headerBytes };
  const header = row.header ?? (await readRange(context.blobs, row.blob, range, context.limits.headerBytes));
  return Buffer.concat([row.prefix ?? new Uint8Array(0), header]);
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
