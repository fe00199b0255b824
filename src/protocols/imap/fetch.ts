/**
 * FETCH and UID FETCH: the way a message leaves (message path, step 9). Rows come in pages with no column more than
 * needed, bodies stream from the blob store with back-pressure, nothing sets \Seen. A blob that cannot be read is a NO for
 * its message while the others are sent; one that breaks inside a literal ends the connection, since the client counts
 * octets. Source: RFC 3501 §6.4.5, §6.4.8, §7.4.2; RFC 7162 §3.1.4, §3.2.6.
 */
import { MairustError, toMairustError } from "../../core/errors.ts";
import { indexOfUid } from "../../core/mailbox-snapshot.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import { inSlices, Slice } from "../../platform/slices.ts";
import { readRange, type StartedRead, startRead } from "./blob-reader.ts";
import { changedSince } from "./changed-since.ts";
import { enableCondstore } from "./condstore.ts";
import type { InMailbox } from "./context.ts";
import { decodedChunks, type ReadChunks, UnknownEncoding } from "./fetch-binary.ts";
import { flagItems, writeFlags } from "./fetch-flags.ts";
import { type FetchPlan, heldBytes, type Piece, piecesAtHand, planFetch, readPieces } from "./fetch-plan.ts";
import { announceFlagNames } from "./news.ts";
import { indexesInSteps } from "./number-set.ts";
import { ConnectionGone } from "./output.ts";
import type { FetchCommand } from "./parse-fetch.ts";
import { ReadAhead } from "./read-ahead.ts";
import { bad, type Completion, completionOf, no, ok } from "./reply.ts";
import { countIndexes, resolveSet, uidsAt } from "./sequence-set.ts";
import { ImapSyntaxError } from "./syntax-error.ts";
import { tellEarlier } from "./vanished.ts";

/** Unreadable messages that one command logs; all are counted. A lost disk would otherwise fill the log as well. */
const LOGGED_PER_COMMAND = 10;

/** Octets that a message holds at most whose blob was opened: two blocks of it, or all of a small one. */
const BEGUN_BYTES = 524_288;

/** One message ready to be sent, or why it cannot. */
type Prepared =
  | {
      readonly kind: "ready";
      readonly row: MessageRow;
      readonly pieces: readonly Piece[];
      readonly read: StartedRead | undefined;
    }
  | { readonly kind: "unreadable"; readonly row: MessageRow; readonly error: MairustError };

export async function fetch(context: InMailbox, command: FetchCommand): Promise<Completion> {
  const { enabled } = context;
  const { view } = context.selected;
  if (command.since?.vanished === true && !enabled.qresync) return bad("QRESYNC is not enabled");
  let indexes: readonly number[];
  try {
    indexes = await inSlices(indexesInSteps(command.set, command.uid, context.selected));
  } catch (error) {
    if (error instanceof ImapSyntaxError) return bad(error.publicText);
    throw error;
  }
  const asked = planFetch(command.items, command.uid);
  const since = command.since?.modseq;
  if (asked.modseq || since !== undefined) enableCondstore(context);
  announceFlagNames(context);
  if (command.since?.vanished === true) await tellVanishedOf(context, command);
  if (since !== undefined) indexes = await inSlices(changedSince(view, indexes, since));
  // Whoever knows of MODSEQs is told each with the flags that it belongs to.
  const plan = {
    ...asked,
    modseq: asked.modseq || since !== undefined || (asked.flags && enabled.condstore),
  };
  if (plan.fields === undefined) {
    await writeFlags(view, indexes, plan, context.output);
    return ok("FETCH completed");
  }
  return fetchRows(context, plan, indexes, command.uid);
}

/** Before what changed (RFC 7162 §3.2.6). `*` names the last UID that was given: it may have vanished. */
function tellVanishedOf({ selected, output }: InMailbox, { set, since }: FetchCommand): Promise<void> {
  const known = resolveSet(set, selected.view.uidNext - 1);
  return tellEarlier(selected, { since: since?.modseq ?? 0, known }, output);
}

async function fetchRows(
  context: InMailbox,
  plan: FetchPlan,
  indexes: readonly number[],
  uid: boolean,
): Promise<Completion> {
  const { reader, limits, output } = context;
  const { view } = context.selected;
  const answers = new Answers(context, plan);
  const slice = new Slice();
  const started = new ReadAhead<Prepared>(limits.readAhead, message => answers.put(message), dropPrepared);
  try {
    for await (const page of reader.rows(view.mailboxId, uidsAt(indexes, view), plan.fields ?? {})) {
      for (const row of page) {
        const turn = slice.over();
        if (turn !== undefined) await turn;
        const message = prepare(context, plan, row, slice);
        // What needs no blob is sent as it comes, unless one that does is before it.
        const waiting =
          message instanceof Promise || !started.isEmpty
            ? started.add(
                Promise.resolve(message),
                Math.min(row.blobSizeBytes, BEGUN_BYTES) + heldBytes(plan, row, limits),
              )
            : (answers.put(message) ?? output.pressure());
        if (waiting !== undefined) await waiting;
      }
    }
    await started.finish();
  } finally {
    await started.dropRest();
  }
  if (answers.failure !== undefined) return failed(answers.failure);
  if (answers.count === countIndexes(indexes)) return ok("FETCH completed");
  // Somebody expunged while we read. UID FETCH may pass over them, their EXPUNGE follows; RFC 5530 has a word for the other.
  await context.selected.mailbox.refresh();
  return uid ? ok("FETCH completed") : no("Some messages were expunged", "EXPUNGEISSUED");
}

function failed(failure: MairustError): Completion {
  return failure instanceof UnknownEncoding ? no(failure.publicText, "UNKNOWN-CTE") : completionOf(failure);
}

/** What became of the messages of one FETCH. */
class Answers {
  readonly #context: InMailbox;
  readonly #plan: FetchPlan;
  #unreadable = 0;
  /** Messages that were sent, or could not be. */
  count = 0;
  /** The first of the failures. */
  failure: MairustError | undefined;

  constructor(context: InMailbox, plan: FetchPlan) {
    this.#context = context;
    this.#plan = plan;
  }

  /** @returns to be awaited before the next one; undefined: it went out */
  put(message: Prepared): Promise<void> | undefined {
    this.count += 1;
    if (message.kind === "ready") return send(this.#context, this.#plan, message);
    this.failure ??= message.error;
    // The message is whole; only this cannot be had of it.
    if (message.error instanceof UnknownEncoding) return undefined;
    this.#unreadable += 1;
    reportUnreadable(this.#context, message.row, message.error, this.#unreadable <= LOGGED_PER_COMMAND);
    return undefined;
  }
}

/** Does not throw or reject: what cannot be read is an answer too. */
function prepare(
  context: InMailbox,
  plan: FetchPlan,
  row: MessageRow,
  slice: Slice,
): Prepared | Promise<Prepared> {
  try {
    const pieces = piecesAtHand(plan, row, context.limits.fetchBytes);
    if (pieces === undefined) return prepareByReading(context, plan, row, slice);
    if (!pieces.some(piece => piece.kind === "blob")) return { kind: "ready", row, pieces, read: undefined };
    return startFirst(context, row, pieces);
  } catch (error) {
    return unreadable(row, error);
  }
}

async function prepareByReading(
  context: InMailbox,
  plan: FetchPlan,
  row: MessageRow,
  slice: Slice,
): Promise<Prepared> {
  try {
    const pieces = await readPieces(plan, row, {
      bytes: range => readRange(context.blobs, row.blob, range, context.limits.headerBytes),
      chunks: chunksOf(context, row),
      keptBytes: context.limits.fetchBytes,
      room: { bytes: context.limits.decodedBytes },
      slice,
    });
    return await startFirst(context, row, pieces);
  } catch (error) {
    return unreadable(row, error);
  }
}

/** Begin to read the first piece that comes from the blob. */
async function startFirst(context: InMailbox, row: MessageRow, pieces: readonly Piece[]): Promise<Prepared> {
  const first = pieces.find(piece => piece.kind === "blob");
  try {
    const read = first === undefined ? undefined : await startRead(context.blobs, row.blob, first.range);
    return { kind: "ready", row, pieces, read };
  } catch (error) {
    return unreadable(row, error);
  }
}

function unreadable(row: MessageRow, error: unknown): Prepared {
  return { kind: "unreadable", row, error: toMairustError(error, `read message of UID ${row.uid}`) };
}

/** Ends early when the client is gone: its answer, which would be wrong, is never sent. */
function chunksOf({ blobs, gone }: InMailbox, { blob }: MessageRow): ReadChunks {
  return async function* (range) {
    for await (const chunk of (await startRead(blobs, blob, range)).chunks()) {
      if (gone.aborted) return;
      yield chunk;
    }
  };
}

async function dropPrepared(message: Prepared): Promise<void> {
  if (message.kind === "ready") await message.read?.drop();
}

/** @returns undefined: all of it is in the output */
function send(
  context: InMailbox,
  plan: FetchPlan,
  message: Extract<Prepared, { kind: "ready" }>,
): Promise<void> | undefined {
  const { output } = context;
  const { row, pieces } = message;
  let { read } = message;
  output.text(head(context, plan, row.uid));
  for (const [i, piece] of pieces.entries()) {
    if (piece.kind === "text") output.text(piece.text);
    else if (piece.kind === "bytes") output.bytes(piece.bytes);
    else if (piece.kind === "blob" && read?.whole !== undefined) {
      for (const chunk of read.whole) output.give(chunk);
      read = undefined;
    } else return sendRest(context, row, pieces.slice(i), read);
  }
  output.text(")\r\n");
  return output.pressure();
}

/** The pieces from the first one on that has to be waited for. */
async function sendRest(
  context: InMailbox,
  row: MessageRow,
  pieces: readonly Piece[],
  started: StartedRead | undefined,
): Promise<void> {
  const { output } = context;
  let read = started;
  for (const piece of pieces) {
    if (piece.kind === "text") output.text(piece.text);
    else if (piece.kind === "bytes") output.bytes(piece.bytes);
    else if (piece.kind === "decoded") await streamDecoded(context, row, piece);
    else {
      const source = read ?? piece;
      read = undefined;
      await stream(context, row, source);
    }
    const waiting = output.pressure();
    if (waiting !== undefined) await waiting;
  }
  output.text(")\r\n");
}

function head({ selected: { view } }: InMailbox, plan: FetchPlan, uid: number): string {
  const index = indexOfUid(view, uid);
  const known = flagItems(view, index, uid, plan);
  return `* ${index + 1} FETCH (${known}${known === "" ? "" : " "}`;
}

async function stream(
  context: InMailbox,
  row: MessageRow,
  source: StartedRead | Extract<Piece, { kind: "blob" }>,
): Promise<void> {
  const { output } = context;
  const give = (chunk: Uint8Array) => output.give(chunk);
  await sendLiteral(context, row, give, async function* () {
    const read = "kind" in source ? await startRead(context.blobs, row.blob, source.range) : source;
    yield* read.chunks();
  });
}

/** The second pass: it must find as many octets as the first one did. */
async function streamDecoded(
  context: InMailbox,
  row: MessageRow,
  { decoded, size }: Extract<Piece, { kind: "decoded" }>,
): Promise<void> {
  const { output } = context;
  const copy = (chunk: Uint8Array) => output.bytes(chunk);
  await sendLiteral(context, row, copy, async function* () {
    let left = size;
    for await (const chunk of decodedChunks(decoded, chunksOf(context, row))) {
      left -= chunk.length;
      if (left < 0) break;
      yield chunk;
    }
    if (context.gone.aborted) throw new ConnectionGone();
    if (left !== 0) throw new MairustError("blob_damaged", "Cannot decode a part twice: its size differs");
  });
}

/** Octets of an announced literal: from here on a failure can only end the connection. */
async function sendLiteral(
  context: InMailbox,
  row: MessageRow,
  put: (chunk: Uint8Array) => void,
  chunks: () => AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    for await (const chunk of chunks()) {
      put(chunk);
      const waiting = context.output.pressure();
      if (waiting !== undefined) await waiting;
    }
  } catch (error) {
    if (error instanceof ConnectionGone) throw error;
    context.metrics.unreadable("cut");
    context.log.error("imap blob broke inside a literal, connection closed", logFields(context, row, error));
    throw new ConnectionGone();
  }
}

function reportUnreadable(context: InMailbox, row: MessageRow, error: MairustError, log: boolean): void {
  context.metrics.unreadable("refused");
  if (log) context.log.error("imap message cannot be read", logFields(context, row, error));
}

function logFields(context: InMailbox, row: MessageRow, error: unknown) {
  return {
    account: context.account.address,
    mailbox: context.selected.mailbox.info.name,
    uid: row.uid,
    id: row.messageId,
    blob: row.blob,
    error: error instanceof MairustError ? error : toMairustError(error, "read blob"),
  };
}
