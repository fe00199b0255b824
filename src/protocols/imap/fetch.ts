/**
 * FETCH and UID FETCH: the way a message leaves (message path, step 9). Rows come in pages with no column more than
 * needed, bodies stream from the blob store with back-pressure, nothing sets \Seen. A blob that cannot be read is a NO for
 * its message while the others are sent; one that breaks inside a literal ends the connection, since the client counts
 * octets. Source: RFC 3501 §6.4.5, §6.4.8, §7.4.2; RFC 7162 §3.1.4, §3.2.6.
 */
import { MairustError, toMairustError } from "../../core/errors.ts";
import { indexOfUid } from "../../core/mailbox-snapshot.ts";
import type { MessageRow } from "../../core/ports/mailboxes.ts";
import { inSlices } from "../../platform/slices.ts";
import { readRange, type StartedRead, startRead } from "./blob-reader.ts";
import { changedSince } from "./changed-since.ts";
import { enableCondstore } from "./condstore.ts";
import type { InMailbox } from "./context.ts";
import { decodedChunks, type ReadChunks, UnknownEncoding } from "./fetch-binary.ts";
import { flagItems, writeFlags } from "./fetch-flags.ts";
import { type FetchPlan, messagePieces, type Piece, planFetch } from "./fetch-plan.ts";
import { announceFlagNames } from "./news.ts";
import { indexesOf } from "./number-set.ts";
import { ConnectionGone } from "./output.ts";
import type { FetchCommand } from "./parse-fetch.ts";
import { ahead } from "./read-ahead.ts";
import { bad, type Completion, completionOf, no, ok } from "./reply.ts";
import { countIndexes, resolveSet, uidsAt } from "./sequence-set.ts";
import { ImapSyntaxError } from "./syntax-error.ts";
import { tellEarlier } from "./vanished.ts";

/** Unreadable messages that one command logs; all are counted. A lost disk would otherwise fill the log as well. */
const LOGGED_PER_COMMAND = 10;

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
    indexes = indexesOf(command.set, command.uid, context.selected);
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
  let sent = 0;
  let failure: MairustError | undefined;
  let unreadable = 0;
  for await (const message of ahead(
    prepareAll(context, plan, indexes),
    context.limits.readAhead,
    dropPrepared,
  )) {
    if (message.kind === "unreadable") {
      failure ??= message.error;
      // The message is whole; only this cannot be had of it.
      if (!(message.error instanceof UnknownEncoding)) {
        unreadable += 1;
        reportUnreadable(context, message.row, message.error, unreadable <= LOGGED_PER_COMMAND);
      }
    } else await send(context, plan, message);
    sent += 1;
  }
  if (failure instanceof UnknownEncoding) return no(failure.publicText, "UNKNOWN-CTE");
  if (failure !== undefined) return completionOf(failure);
  if (sent === countIndexes(indexes)) return ok("FETCH completed");
  // Somebody expunged while we read. UID FETCH may pass over them, their EXPUNGE follows; RFC 5530 has a word for the other.
  await context.selected.mailbox.refresh();
  return uid ? ok("FETCH completed") : no("Some messages were expunged", "EXPUNGEISSUED");
}

async function* prepareAll(
  context: InMailbox,
  plan: FetchPlan,
  indexes: readonly number[],
): AsyncGenerator<() => Promise<Prepared>> {
  const { view } = context.selected;
  const pages = context.reader.rows(view.mailboxId, uidsAt(indexes, view), plan.fields ?? {});
  for await (const page of pages) for (const row of page) yield () => prepare(context, plan, row);
}

async function prepare(context: InMailbox, plan: FetchPlan, row: MessageRow): Promise<Prepared> {
  try {
    const pieces = await messagePieces(plan, row, {
      bytes: range => readRange(context.blobs, row.blob, range, context.limits.headerBytes),
      chunks: chunksOf(context, row),
      keptBytes: context.limits.fetchBytes,
      room: { bytes: context.limits.decodedBytes },
    });
    const first = pieces.find(piece => piece.kind === "blob");
    const read = first === undefined ? undefined : await startRead(context.blobs, row.blob, first.range);
    return { kind: "ready", row, pieces, read };
  } catch (error) {
    return { kind: "unreadable", row, error: toMairustError(error, `read message of UID ${row.uid}`) };
  }
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

async function send(
  context: InMailbox,
  plan: FetchPlan,
  message: Extract<Prepared, { kind: "ready" }>,
): Promise<void> {
  const { output } = context;
  let { read } = message;
  try {
    output.text(head(context, plan, message.row.uid));
    for (const piece of message.pieces) {
      if (piece.kind === "text") output.text(piece.text);
      else if (piece.kind === "bytes") output.bytes(piece.bytes);
      else if (piece.kind === "decoded") await streamDecoded(context, message.row, piece);
      else {
        const source = read ?? piece;
        read = undefined;
        await stream(context, message.row, source);
      }
      const waiting = output.pressure();
      if (waiting !== undefined) await waiting;
    }
    output.text(")\r\n");
  } finally {
    // The client may leave before its turn.
    await read?.drop();
  }
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
  await sendLiteral(context, row, async function* () {
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
  await sendLiteral(context, row, async function* () {
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
  chunks: () => AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    for await (const chunk of chunks()) {
      context.output.bytes(chunk);
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
